// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/sampler/sampler.h"
#include "engine/sequence.h"
#include "kv/paged_cache.h"
#include "model/forward.h"
#include "model/memory_plan.h"
#include "router/policy.h"

namespace sw {

struct EngineOptions {
  ForwardOptions forward = {};
  int64_t n_ctx = 0;   ///< tokens of one sequence at most; 0: the model's training context
  int n_parallel = 1;  ///< sequences at one time
  Type cache_type = Type::F16;
  int experts_max = 0;  ///< most experts a policy may ask for; 0: the model's k and `default_policy`
  RoutingPolicy default_policy = {};  ///< for requests that bring none
  bool keep_last = false;  ///< a request that begins like the one before goes on from its cache (a chat)
};

/// What one step did for one sequence.
struct StepEvent {
  SequenceId sequence = 0;
  int32_t token = -1;  ///< -1 where the sequence ended without one
  Finish finish = Finish::None;
  std::string error = {};  ///< the line that tells why, where finish is Error
};

/// Many sequences through one model: schedule() -> forward() -> sample().
class Engine {
 public:
  Engine(const Model& model, const EngineOptions& options);

  /// What an engine with these options needs of memory, before there is one; `policies` is what
  /// make_policies() gives for the same options.
  static PolicyTable make_policies(const Model& model, const EngineOptions& options);
  static PlanInput plan_input(const Model& model, const EngineOptions& options, const PolicyTable& policies);

  /// Takes a request and reserves its pages. Throws sw::Error where it cannot be served: empty prompt,
  /// prompt longer than the context, a policy the model cannot do, no free sequence.
  SequenceId submit(SequenceRequest request);
  /// Throws sw::Error where the model cannot do a policy.
  void check_policy(const RoutingPolicy& policy);
  /// Ends a sequence before the next step.
  void cancel(SequenceId id);
  /// One forward pass over what all sequences need next; the events of this step, valid until the next.
  /// A sequence for which no token can be chosen ends with Finish::Error, the others go on.
  std::span<const StepEvent> step(ForwardProbe* probe = nullptr);
  /// Tokens that the last step computed; those of a prompt that were in the cache are not among them.
  int64_t n_computed() const { return static_cast<int64_t>(batch_.size()); }
  bool idle() const { return sequences_.empty(); }

  int64_t n_ctx() const { return n_ctx_; }
  const Forward& forward() const { return forward_; }
  const PolicyTable& policies() const { return policies_; }
  size_t cache_bytes() const { return cache_.spec().size_bytes(); }

 private:
  void warm_up();
  void schedule();
  TensorView<const float> run(ForwardProbe* probe);
  void sample_all(TensorView<const float> logits);
  StepEvent sample(Sequence& sequence, std::span<const float> logits);
  void retire(std::list<Sequence>::iterator sequence, Finish finish);
  void reserve_pages(Sequence& sequence);
  void drop_kept();

  const Model& model_;
  int64_t n_ctx_;
  int n_parallel_;
  RoutingPolicy default_policy_;
  PolicyTable policies_;
  Forward forward_;
  PagedCache cache_;
  SequenceId next_id_ = 1;
  bool keep_last_;
  std::list<Sequence> sequences_;
  std::list<Sequence> kept_;  // the last one that ended, at most one

  // The step under way.
  std::vector<BatchToken> batch_;
  std::vector<BlockTable*> tables_;
  std::vector<Sequence*> sampled_;  // sequences whose next token this step gives ...
  std::vector<int32_t> rows_;       // ... and the batch rows that give it
  std::vector<StepEvent> events_;
};

/// The most experts a policy asks for in any layer and phase, at least the model's own k.
int experts_needed(const Model& model, const RoutingPolicy& policy);

}  // namespace sw
