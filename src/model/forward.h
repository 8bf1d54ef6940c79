// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <bitset>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arch/rope.h"
#include "base/thread_pool.h"
#include "kernels/ops.h"
#include "kv/sequence_cache.h"
#include "model/device_state.h"
#include "model/placed_model.h"
#include "router/policy_table.h"

namespace sw {

struct ForwardOptions {
  int n_thread = 1;
  int64_t n_ubatch = 512;    ///< most tokens of one run()
  int64_t n_logit_row = 64;  ///< most rows of one logits()
  int64_t n_seq = 64;        ///< most sequences of one run() on a device other than the processor
  int64_t n_ctx = 0;         ///< and most tokens of one sequence there; 0: the model's training context
  bool references = false;   ///< the scalar references instead of the fast kernels, on the processor
  bool invariant = false;    ///< the same bits for a token in any batch: docs/adr/0010
  bool explain = false;      ///< keep the reasons of each kernel choice
  bool plan_only = false;    ///< bind and count bytes, take no memory; run() must not be called
  /// Where the weights are; null: all on the processor. Must outlive the Forward.
  const PlacedModel* placed = nullptr;
};

/// Sees what happens inside a forward pass. Views are the processor's and valid during the call.
class ForwardProbe {
 public:
  virtual ~ForwardProbe() = default;
  /// After decoder layer `layer` (as the Hugging Face config counts): the residual [n_token, n_embd].
  virtual void on_hidden(int /*layer*/, TensorView<const float> /*hidden*/) {}
  /// Where a layer is several blocks: the residual after block `part` of it, the last one left out.
  virtual void on_part_hidden(int /*layer*/, int /*part*/, TensorView<const float> /*hidden*/) {}
  /// A router's output. moe_layer counts MoE layers from 0.
  virtual void on_routing(int /*moe_layer*/, TensorView<const float> /*logits*/, const Routing& /*routing*/) {
  }
};

/// One token of a batch.
struct BatchToken {
  int32_t id = 0, pos = 0;
  int32_t seq = 0;      ///< index into the batch's sequences
  uint16_t policy = 0;  ///< id in the policy table
};

/// Runs tokens through a model: a plain loop over layers, each operation on the device that it was placed
/// on. Everything is bound and every buffer taken in the constructor; a run allocates nothing, on no
/// device (but for what a probe looks at on a device that the processor cannot see).
class Forward {
 public:
  Forward(const Model& model, const PolicyTable& policies, const ForwardOptions& options);

  /// Appends to the cache and computes the hidden states of all tokens. A sequence's tokens stand in
  /// rising position. Their caches [n_seq] are prepared for them.
  void run(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
           const Cache& cache, ForwardProbe* probe = nullptr);
  /// Logits [rows.size(), n_vocab] of tokens of the last run(), valid until the next call.
  TensorView<const float> logits(std::span<const int32_t> rows);
  /// run() and logits() in one: on one GPU a decode step is recorded once for each number of sequences
  /// and then replayed whole, without a word from the processor in between.
  TensorView<const float> step(std::span<const BatchToken> tokens,
                               std::span<const SequenceCache* const> sequences, const Cache& cache,
                               std::span<const int32_t> rows, ForwardProbe* probe = nullptr);
  /// The input of the output matrix for the rows of the last logits().
  TensorView<const float> final_norm();

  const ForwardOptions& options() const { return options_; }
  const OpCounters& counters() const { return counters_; }
  /// A line for each choice, with reasons (ForwardOptions::explain).
  const std::string& explanation() const { return explanation_; }
  /// Activations, routing and scratch of a device.
  size_t buffer_bytes(int slot = 0) const { return states_[static_cast<size_t>(slot)].buffer_bytes(); }
  /// Steps that a GPU keeps whole: one for each number of sequences so far, whatever their policies.
  int n_recorded() const { return static_cast<int>(recorded_.count()); }
  /// Times that something went from one device to another since the start.
  uint64_t n_hand_over() const { return n_hand_over_; }

  /// The cache that this model needs for `n_seq` sequences of `n_token` tokens each, of which one pass takes
  /// at most `n_ubatch` (0: any number).
  static CachePlan cache_plan(const Model& model, int64_t n_token, Type type, int64_t n_seq = 1,
                              int64_t n_ubatch = 0);
  /// Takes a cache on the devices of the layers' attention.
  Cache make_cache(const CachePlan& plan) const;

 private:
  template <class Desc, class Args>
  struct Placed {
    int slot = 0;
    BoundOp<Desc, Args> op = {};
  };
  struct Block {
    int attention_slot = 0;
    std::optional<Placed<AttentionDesc, AttentionArgs>> attention;
    std::optional<Placed<MlaDesc, MlaArgs>> mla;  // instead of attention
    std::optional<Placed<RouteDesc, RouteArgs>> route;
    std::vector<Placed<ExpertsDesc, ExpertsArgs>> experts;  // the residual's owner first, if it has any
    std::optional<Placed<FfnDesc, FfnArgs>> shared;
    std::optional<Placed<FfnDesc, FfnArgs>> dense;
    std::vector<int> away;  // devices other than the router's that have a part of the experts
  };
  using State = DeviceState;

  const Devices& devices() const { return placed_->devices(); }
  State& state(int slot) { return states_[static_cast<size_t>(slot)]; }
  template <class Desc, class Args>
  Placed<Desc, Args> bind(Desc desc, int slot, std::string* why);
  void bind_blocks(const PolicyTable& policies, std::string* why);
  void bind_attention(Block& block, int b, std::string* why);
  void bind_moe(Block& block, int b, int moe_layer, const PolicyTable& policies, std::string* why);
  template <class Desc, class Args>
  void count_scratch(const Placed<Desc, Args>& placed, int64_t n_row);
  void plan_scratch();
  void take_buffers(const PolicyTable& policies);
  void fill_batch(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
                  const Cache& cache);
  void stage();
  void run_layer(int layer, int& moe_layer, const Cache& cache, ForwardProbe* probe);
  void run_layers(const Cache& cache, ForwardProbe* probe);
  void queue_head(int64_t n_row);
  TensorView<const float> host_logits(int64_t n_row);

  OpContext context();
  template <class T>
  void hand_over(State& from, State& to, TensorView<T> source, TensorView<T> target, int64_t n_row);
  void move_residual(int slot);
  void run_attention(const Block& block, int group, const KvLayerView& kv);
  void run_dense(const Block& block);
  void begin_moe(const Block& block, int moe_layer, bool aside, ForwardProbe* probe);
  void end_moe(const Block& block, bool aside);
  void send_routing(const Block& block, State& home);
  void run_part(const Block& block, State& on, bool aside);
  void add_part(State& from);
  void show_routing(State& home, int moe_layer, ForwardProbe& probe);
  template <class Show>
  void show_hidden(Show&& show);
  bool can_replay(size_t n_token, size_t n_seq, size_t n_row, const Cache& cache) const;

  const Model& model_;
  std::optional<Devices> own_devices_;  // where the caller brought none
  std::unique_ptr<PlacedModel> own_placed_;
  const PlacedModel* placed_;
  ForwardOptions options_;
  int n_slot_ = 0;  // most experts a token may use
  ThreadPool pool_;
  const VectorKernel& vector_;
  std::vector<RouteScratch> route_scratch_;
  Scratch no_scratch_;  // each device brings its own
  OpCounters counters_;
  std::string explanation_;
  RopeTable rope_;

  Placed<EmbedDesc, EmbedArgs> embed_;
  std::vector<Block> blocks_;
  Placed<HeadDesc, HeadArgs> head_;
  std::deque<State> states_;  // by slot

  // The batch under way, on the processor.
  int64_t n_token_ = 0;
  std::vector<int32_t> ids_, pos_, seq_;
  std::vector<uint16_t> policy_;
  std::vector<float> cos_, sin_;        // [n_token, n_rot / 2]
  std::vector<const int32_t*> tables_;  // of all sequences; once more for each further group of the cache
  std::vector<int64_t> n_page_;         // of each sequence, in use
  int n_group_ = 1;                     // of the cache
  int residual_ = 0;                    // the slot where the residual is
  int64_t n_logit_row_ = 0;             // of the last logits()
  uint64_t n_hand_over_ = 0;

  // What the processor sees of other devices.
  PinnedBuffer host_logits_, host_final_norm_;
  std::vector<float> seen_floats_;
  std::vector<int32_t> seen_ints_;

  std::bitset<Backend::kMaxRecordings> recorded_;  // by number of sequences
  std::array<OpCounters, Backend::kMaxRecordings> recorded_cost_ = {};
  const std::byte* recorded_cache_ = nullptr;
};

}  // namespace sw
