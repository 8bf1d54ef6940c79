// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace sw {

/// Where merges wait: the least rank comes out first, of equal ranks the leftmost place. O(log n), but O(1)
/// where the places of a rank are pushed from left to right, as those of a long run of one character are.
class MergeQueue {
 public:
  struct Entry {
    uint32_t rank, place;
  };

  bool empty() const { return heap_.empty(); }

  void push(Entry entry) {
    if (heap_.size() < kSmallHeap || !join_run(entry)) push_heap(entry);
  }

  Entry pop() {
    const Entry entry{static_cast<uint32_t>(heap_.front() >> 32), static_cast<uint32_t>(heap_.front())};
    const std::optional<uint32_t> next_place = n_runs_ > 0 ? leave_run(entry) : std::nullopt;
    if (next_place && is_first({entry.rank, *next_place})) {
      heap_.front() = packed({entry.rank, *next_place});
      return entry;
    }
    std::ranges::pop_heap(heap_, std::greater<>());
    heap_.pop_back();
    if (next_place) push_heap({entry.rank, *next_place});
    return entry;
  }

 private:
  /// Ascending places of one rank; of those that wait only the first is in the heap.
  struct Run {
    uint32_t rank = 0;
    size_t first = 0;
    std::vector<uint32_t> places;

    bool waits() const { return first < places.size(); }
  };

  /// The run of this rank, or else one where none waits, or else that of another rank.
  Run& run_of(uint32_t rank) {
    Run* const ways = &runs_[rank % kSets * kWays];
    Run* found = ways;
    for (Run* run = ways; run < ways + kWays; ++run) {
      if (!run->waits())
        found = run;
      else if (run->rank == rank)
        return *run;
    }
    return *found;
  }

  /// True where the entry waits behind others of its run, false where the heap must take it.
  bool join_run(Entry entry) {
    Run& run = run_of(entry.rank);
    if (!run.waits()) {
      run.rank = entry.rank;
      run.places.assign(1, entry.place);
      run.first = 0;
      ++n_runs_;
      return false;
    }
    if (run.rank != entry.rank || run.places.back() > entry.place) return false;
    run.places.push_back(entry.place);
    return true;
  }

  /// The place that follows in the entry's run, where the entry was the first of one.
  std::optional<uint32_t> leave_run(Entry entry) {
    Run& run = run_of(entry.rank);
    if (!run.waits() || run.rank != entry.rank || run.places[run.first] != entry.place) return std::nullopt;
    ++run.first;
    if (run.waits()) return run.places[run.first];
    --n_runs_;
    return std::nullopt;
  }

  static uint64_t packed(Entry entry) { return uint64_t{entry.rank} << 32 | entry.place; }
  /// Before all in the heap but its top.
  bool is_first(Entry entry) const {
    const size_t n = std::min<size_t>(heap_.size(), 3);  // the top and its two children
    return std::all_of(heap_.begin() + 1, heap_.begin() + static_cast<ptrdiff_t>(n),
                       [&](uint64_t other) { return packed(entry) <= other; });
  }
  void push_heap(Entry entry) {
    heap_.push_back(packed(entry));
    std::ranges::push_heap(heap_, std::greater<>());
  }

  static constexpr size_t kSmallHeap = 64;        // needs no help
  static constexpr size_t kSets = 16, kWays = 4;  // few ranks are under way at a time in a long run

  std::vector<uint64_t> heap_;  // packed entries
  std::array<Run, kSets * kWays> runs_;
  size_t n_runs_ = 0;  // that wait
};

}  // namespace sw
