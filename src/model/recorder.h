// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "kernels/backend.h"

namespace sw {

/// Decode steps that GPUs keep whole: the calls of a pass, made once and kept instead of done; replayed,
/// they read what was staged. One recording for each number of sequences, one token of each.
class StepRecorder {
 public:
  bool has(size_t n_sequence) const { return costs_[n_sequence].has_value(); }
  /// Whether steps of so many sequences can be kept, over this cache.
  bool can_keep(size_t n_sequence, const std::byte* cache) const {
    return n_sequence > 0 && n_sequence < costs_.size() && (!cache_ || cache_ == cache);
  }
  /// `queue_step()` makes the calls; what it adds to `counters` is the cost of each replay, and taken off.
  template <class QueueStep>
  void record(Recordings& gpu, size_t n_sequence, const std::byte* cache, OpCounters& counters,
              QueueStep&& queue_step) {
    const OpCounters before = counters;
    try {
      gpu.begin();
      queue_step();
      gpu.end(static_cast<int>(n_sequence));
    } catch (...) {
      gpu.abandon();
      counters = before;
      throw;
    }
    cache_ = cache;
    costs_[n_sequence] = counters - before;
    counters = before;
  }
  void replay(Recordings& gpu, size_t n_sequence, OpCounters& counters) const {
    gpu.replay(static_cast<int>(n_sequence));
    counters += *costs_[n_sequence];
  }
  int n_recorded() const {
    return static_cast<int>(std::ranges::count_if(costs_, [](const auto& cost) { return cost.has_value(); }));
  }

 private:
  std::array<std::optional<OpCounters>, Recordings::kMost> costs_ = {};
  const std::byte* cache_ = nullptr;  // whose memory all recordings read
};

}  // namespace sw
