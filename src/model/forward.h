// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/ops.h"
#include "kv/paged_cache.h"
#include "model/model.h"
#include "router/policy_table.h"

namespace sw {

struct ForwardOptions {
  int n_thread = 1;
  int64_t n_ubatch = 512;    ///< most tokens of one run()
  int64_t n_logit_row = 64;  ///< most rows of one logits()
  bool references = false;   ///< the scalar references instead of the fast kernels
  bool explain = false;      ///< keep the reasons of each kernel choice
  bool plan_only = false;    ///< bind and count bytes, take no memory; run() must not be called
};

/// Sees what happens inside a forward pass. Views are valid during the call.
class ForwardProbe {
 public:
  virtual ~ForwardProbe() = default;
  /// After decoder layer `layer` (as the Hugging Face config counts): the residual [n_token, n_embd].
  virtual void on_hidden(int /*layer*/, TensorView<const float> /*hidden*/) {}
  /// A router's output. moe_layer counts MoE layers from 0.
  virtual void on_routing(int /*moe_layer*/, TensorView<const float> /*logits*/, const Routing& /*routing*/) {
  }
};

/// One token of a batch.
struct BatchToken {
  int32_t id = 0, pos = 0;
  int32_t seq = 0;      ///< index into the batch's block tables
  uint16_t policy = 0;  ///< id in the policy table
};

/// Runs tokens through a model: a plain loop over layers. Everything is bound and every buffer taken in
/// the constructor; run() and logits() allocate nothing.
class Forward {
 public:
  Forward(const Model& model, const PolicyTable& policies, const ForwardOptions& options);

  /// Appends to the cache and computes the hidden states of all tokens. A sequence's tokens stand in
  /// rising position. `block_tables` [n_seq] must have room for every position.
  void run(std::span<const BatchToken> tokens, std::span<const int32_t* const> block_tables,
           const PagedCache& cache, ForwardProbe* probe = nullptr);
  /// Logits [rows.size(), n_vocab] of tokens of the last run(), valid until the next call.
  TensorView<const float> logits(std::span<const int32_t> rows);
  /// The input of the output matrix for the rows of the last logits().
  TensorView<const float> final_norm() const { return final_norm_; }

  const ForwardOptions& options() const { return options_; }
  const OpCounters& counters() const { return counters_; }
  /// A line for each choice, with reasons (ForwardOptions::explain).
  const std::string& explanation() const { return explanation_; }
  /// Activations, routing and scratch.
  size_t buffer_bytes() const { return buffer_bytes_; }
  /// The cache that this model needs for `n_seq` sequences of `n_token` tokens each.
  static CacheSpec cache_spec(const Model& model, int64_t n_token, Type type, int64_t n_seq = 1);

 private:
  struct Layer {
    BoundOp<AttentionDesc, AttentionArgs> attention;
    std::optional<BoundOp<RouteDesc, RouteArgs>> route;
    std::optional<BoundOp<ExpertsDesc, ExpertsArgs>> experts;
    std::optional<BoundOp<FfnDesc, FfnArgs>> shared;
    std::optional<BoundOp<FfnDesc, FfnArgs>> dense;
  };
  void bind_layers(const PolicyTable& policies, std::string* why);
  void take_buffers();
  template <class T>
  TensorView<T> take(int64_t n_rows, int64_t n_cols);
  void fill_batch(std::span<const BatchToken> tokens);
  void run_moe(const Layer& layer, int moe_layer, const TokenBatch& batch, TensorView<float> x,
               OpContext& context, ForwardProbe* probe);

  const Model& model_;
  ForwardOptions options_;
  int n_slot_ = 0;  // most experts a token may use
  ThreadPool pool_;
  std::vector<RouteScratch> route_scratch_;
  OpCounters counters_;
  std::string explanation_;

  BoundOp<EmbedDesc, EmbedArgs> embed_;
  std::vector<Layer> layers_;
  BoundOp<HeadDesc, HeadArgs> head_;
  std::vector<float> inv_freq_;  // [n_rot / 2]

  std::vector<Buffer> buffers_;
  size_t buffer_bytes_ = 0;
  int64_t n_token_ = 0;  // of the last run
  TensorView<int32_t> ids_, pos_, seq_;
  TensorView<uint16_t> policy_;
  TensorView<float> cos_, sin_, x_, normed_, router_logits_, final_norm_, logits_;
  Routing routing_;
  Scratch scratch_;
};

}  // namespace sw
