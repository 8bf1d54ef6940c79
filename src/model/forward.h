// SPDX-License-Identifier: MIT
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/ops.h"
#include "kv/sequence_cache.h"
#include "model/batch.h"
#include "model/device_state.h"
#include "model/exchange.h"
#include "model/placed_model.h"
#include "model/probe.h"
#include "model/profile.h"
#include "model/recorder.h"
#include "router/policy_table.h"
#include "router/stats.h"

namespace sw {

/// A pass ended in the middle because somebody asked for it; nobody knows what it left in the cache.
struct Interrupted {};

struct ForwardOptions {
  int n_thread = 1;
  int64_t n_ubatch = 512;    ///< most tokens of one run()
  int64_t n_logit_row = 64;  ///< most rows of one logits()
  int64_t n_seq = 64;        ///< most sequences of one run() on a device other than the CPU
  /// Most tokens of one sequence; 0: the model's training context. The CPU takes more; longrope chooses by
  /// it.
  int64_t n_ctx = 0;
  bool references = false;  ///< see ProgramOptions
  bool invariant = false;
  bool explain = false;
  bool repack = false;
  bool observe_products = false;  ///< for a ProductObserver; implies `invariant`
  bool count_routing = false;     ///< for routing_stats(); costs no replay of a recorded step
  /// Asked before each block of a pass that is not replayed: whether to end it by throwing Interrupted.
  std::function<bool()> stop = {};
  /// The model on its devices, with these options' program; null: all on the CPU. Must outlive the Forward.
  const PlacedModel* placed = nullptr;

  /// What the model's program must be made with.
  ProgramOptions program(int experts_max) const {
    return {.experts_max = experts_max,
            .references = references,
            .invariant = invariant || observe_products,  // each matrix has one product, of one thread
            .may_pack = repack && !observe_products,     // weights are known by their place in the file
            .observe_products = observe_products,
            .explain = explain};
  }
};

/// The shapes that size every device's buffers.
BatchLimits batch_limits(const ModelView& model, const Program& program, const ForwardOptions& options,
                         const PolicySizes& policies);

/// Runs tokens through a model's program. Every buffer is taken in the constructor; a run allocates nothing,
/// on no device (but for what a probe looks at on a device whose memory the CPU cannot see).
class Forward {
 public:
  /// Throws sw::Error where no kernel can run an operation, sw::SystemError where memory is short.
  Forward(const Model& model, const PolicyTable& policies, const ForwardOptions& options);
  ~Forward();
  Forward(const Forward&) = delete;
  Forward& operator=(const Forward&) = delete;

  /// Appends to the cache and computes the hidden states of all tokens. A sequence's tokens stand in
  /// rising position. `sequences` [n_seq] are prepared for every position. Where everything is on GPUs, and
  /// no profile or probe looks on, this only queues the work, as many passes ahead as there are GPUs: each
  /// begins the next pass once it has sent its part of this one on. Throws Interrupted; see
  /// ForwardOptions::stop.
  void run(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
           const Cache& cache, ForwardProbe* probe = nullptr);
  /// Logits [rows.size(), n_vocab] of tokens of the last run(), valid until the next call.
  TensorView<const float> logits(std::span<const int32_t> rows);
  /// run() and logits() in one: where everything is on GPUs, a decode step is recorded once for each number
  /// of sequences and then replayed whole, without a word from the CPU in between.
  TensorView<const float> step(std::span<const BatchToken> tokens,
                               std::span<const SequenceCache* const> sequences, const Cache& cache,
                               std::span<const int32_t> rows, ForwardProbe* probe = nullptr);
  /// The input of the output matrix for the rows of the last logits().
  TensorView<const float> final_norm();

  /// Times all passes from now on, until it is given null; what it was given before stays as it is. A pass
  /// then waits for all devices at its end, allocates, and is not replayed from a recording.
  void set_profile(Profile* profile) { profile_ = profile; }
  /// Whether decode steps are recorded and replayed where nothing forbids it.
  bool can_record() const { return recordings_ != nullptr; }
  /// Backend::measure_read_limit() of each device that something runs on; 0 of others.
  std::vector<double> measure_read_limits();

  const ForwardOptions& options() const { return options_; }
  const PlacedModel& placed() const { return *placed_; }
  const Program& program() const { return placed_->program(); }
  const OpCounters& counters() const { return counters_; }
  /// Activations, routing and scratch of a device.
  size_t buffer_bytes(int device = 0) const {
    return states_[static_cast<size_t>(device)].arrays().size_bytes;
  }
  /// What was routed since the start, where it is counted (ForwardOptions::count_routing). Waits for the
  /// devices.
  RoutingStats routing_stats();
  /// Counts from zero again.
  void reset_routing_stats();
  /// Steps that GPUs keep whole: one for each number of sequences so far, whatever their policies.
  int n_recorded() const { return recorder_.n_recorded(); }
  /// Times that something went from one device to another since the start.
  uint64_t n_sent() const { return exchange_.n_sent(); }

  /// The cache that this model needs for `n_seq` sequences of `n_token` tokens each, of which one pass takes
  /// at most `n_ubatch` (0: any number). Throws as plan_cache().
  static CachePlan cache_plan(const Model& model, int64_t n_token, CacheType type, int64_t n_seq = 1,
                              int64_t n_ubatch = 0);
  /// Takes a cache on the devices of the blocks' attention.
  Cache make_cache(const CachePlan& plan) const;

 private:
  friend class Pass;

  DeviceState& state(int device) { return states_[static_cast<size_t>(device)]; }
  DeviceState& head_state() { return state(program().head.device); }
  OpContext context() { return {pool_, no_scratch_, counters_, vector_, route_scratch_}; }
  void take_buffers(const PolicyTable& policies);
  void fill(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
            const Cache& cache, StageAs as);
  void wait_for_all();
  bool runs_ahead() const { return !cpu_takes_part_ && !profile_; }
  void execute(std::span<const Instruction> instructions, const Cache* cache, ForwardProbe* probe,
               const std::function<bool()>& stop = {});
  /// Runs `work`, as this item of the profile where there is one.
  template <class Work>
  void timed(size_t number, Work&& work) {
    if (profile_) {
      profile_->time(number, counters_, work);
    } else {
      work();
    }
  }
  std::optional<RoutingStats> routing_for_profile();
  void queue_head(int64_t n_row);
  TensorView<const float> host_logits(int64_t n_row);

  const Model& model_;
  std::unique_ptr<PlacedModel> own_placed_;  // where the caller brought none
  const PlacedModel* placed_;
  ForwardOptions options_;
  ThreadPool pool_;
  const VectorKernel& vector_;
  std::vector<RouteScratch> route_scratch_;
  Scratch no_scratch_;  // each device brings its own
  OpCounters counters_;
  std::deque<DeviceState> states_;  // by device
  LocalExchange exchange_;
  HostBatch batch_;
  ProbeView probe_view_;
  Profile* profile_ = nullptr;
  StepRecorder recorder_;
  bool cpu_takes_part_ = false;                 // an operation or an expert is on the CPU
  std::unique_ptr<Recordings> recordings_;      // where everything is on GPUs
  bool at_head_ = false;                        // the residual of the last run() is on the head's device
  PinnedBuffer host_logits_, host_final_norm_;  // where the CPU cannot see the head's device
};

}  // namespace sw
