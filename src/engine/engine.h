// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/cached_text.h"
#include "engine/scheduler.h"
#include "kv/sequence_cache.h"
#include "model/forward.h"
#include "model/memory_plan.h"
#include "router/policy.h"

namespace sw {

struct EngineOptions {
  ForwardOptions forward = {};
  int64_t n_ctx = 0;   ///< tokens of one sequence at most; 0: the model's training context
  int n_parallel = 1;  ///< sequences at one time
  int n_waiting = 0;   ///< further requests that wait for a place
  int64_t n_cache_token =
      0;  ///< room of all sequences together; 0: n_ctx for each, so that none ever waits for pages
  CacheType cache_type = {};  ///< of keys and of values
  int n_draft = 0;     ///< most tokens that a request may draft before a check, in models that keep states
  int n_snapshot = 4;  ///< states kept for requests that begin like one before, in such models
  /// How many times as long as without them the prompts of others may make a decode step; 0: as they need.
  /// It cuts prompts by the time that steps take: only under `forward.invariant` are results never affected.
  double prefill_slowdown = 0;
  int experts_max = 0;  ///< most experts a policy may ask for; 0: the model's k and `default_policy`
  RoutingPolicy default_policy = {};  ///< for requests that bring none
  TokenPieces pieces = {};            ///< the vocabulary's bytes, for samplers that read what a token says
};

/// What one step did for one sequence: a token, of which a check of drafts gives several, or its end.
struct StepEvent {
  SequenceId sequence = 0;
  int32_t token = -1;  ///< -1 where the sequence ended without one
  Finish finish = Finish::None;
  std::string error = {};  ///< the line that tells why, where finish is Error
};

/// Sees a token of a text and what it was chosen from: logits [n_vocab] as the model gave them, before any
/// sampler changed them; both valid during the call.
using OnToken = std::function<void(const StepEvent& event, std::span<const float> logits)>;

/// Many sequences through one model: schedule() -> forward() -> sample(). A request that begins like one
/// before under the same routing, running or ended, takes the whole pages (and the last state kept) of their
/// common beginning from the cache.
class Engine {
 public:
  Engine(const Model& model, const EngineOptions& options);

  /// Takes a request. Throws sw::Error where it cannot be served, before any work: empty prompt, prompt
  /// longer than the context, a policy the model cannot do, no place to run or to wait.
  SequenceId submit(SequenceRequest request);
  /// Throws sw::Error where the model cannot do a policy.
  void check_policy(const RoutingPolicy& policy);
  /// Throws sw::Error where a request with these could not be drafted for: see sw::check_draft().
  void check_draft(const DraftParams& draft, const RoutingPolicy& policy);
  /// Ends a sequence before the next step, running or waiting.
  void cancel(SequenceId id);
  /// One forward pass over what all sequences need next; the events of this step, valid until the next.
  /// A sequence for which no token can be chosen ends with Finish::Error, the others go on. `on_token` is
  /// called for every event that has a token, in their order.
  /// Where it throws (a file that was changed under way, `on_token`), the sequences compute their tokens
  /// again with the next step.
  std::span<const StepEvent> step(ForwardProbe* probe = nullptr, const OnToken& on_token = nullptr);
  /// Tokens that the last step computed; those of a prompt that were in the cache are not among them.
  int64_t n_computed() const { return std::ssize(batch_.tokens); }
  /// Tokens of all sequences that are still to be computed before each gives its next token.
  int64_t n_to_compute();
  bool idle() const { return scheduler_.idle(); }
  /// What the step under way computes, or the last one did: then its sequences may be gone, but for their
  /// ids.
  const StepBatch& batch() const { return batch_; }

  /// What the cache has of a text; between two steps. Throws sw::Error where the model cannot do its routing.
  CachedText cached(const RoutedText& text);

  int64_t n_ctx() const { return n_ctx_; }
  const Forward& forward() const { return forward_; }
  /// For what was routed: Forward::routing_stats(), between steps.
  Forward& forward() { return forward_; }
  const PolicyTable& policies() const { return policies_; }
  const Cache& cache() const { return cache_; }
  const Scheduler& scheduler() const { return scheduler_; }
  /// Of the sequences that ended.
  const DraftCounts& draft_counts() const { return draft_counts_; }

 private:
  void warm_up();
  void check_drafts(const DraftParams& draft) const;
  void check_prompt(std::span<const int32_t> prompt) const;
  TensorView<const float> run(ForwardProbe* probe);
  void sample_all(TensorView<const float> logits, const OnToken& on_token);
  void show_hidden(size_t begin, size_t n);
  void choose(const StepBatch::Sampled& what, const BatchToken& after, std::span<const float> logits,
              const OnToken& on_token);

  const Model& model_;
  int64_t n_ctx_;
  RoutingPolicy default_policy_;
  TokenPieces pieces_;
  PolicyTable policies_;
  Forward forward_;
  Cache cache_;
  PageKey page_root_;
  SequenceId next_id_ = 1;
  Scheduler scheduler_;
  StepBatch batch_;  // of the step under way
  std::vector<StepEvent> events_;
  DraftCounts draft_counts_;
};

/// What an engine with these options needs of memory, before there is one.
PlanInput plan_input(const Model& model, const EngineOptions& options);

}  // namespace sw
