// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/wait_word.h"

namespace sw {

/// A half-open range of work items.
struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// Part `index` of `count` nearly equal parts of [0, n).
Range split_range(int64_t n, int64_t index, int64_t count);

/// A team of threads that share loops of a few microseconds. The caller is one of them. Each takes the next
/// item that nobody has taken, so a thread that has no processor just now, because another program is busy
/// there, holds up nothing but an item that it has begun. Whoever waits spins for a while and then sleeps, at
/// once where there are more threads than processors. One loop at a time, started by the owner.
class ThreadPool {
 public:
  /// `n_thread` >= 1 threads including the caller.
  explicit ThreadPool(int n_thread);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return n_thread_; }

  /// Calls f(item, worker) once for each item of [0, n_item), at most kMostItems, in any order, and returns
  /// when all are done: what it wrote is then seen by everyone. `worker` in [0, size()) is the thread's own
  /// number, for scratch. f must not throw. No allocation; less than a microsecond if all are awake, and
  /// nothing for a single item, which the caller runs.
  template <class F>
  void for_each(int64_t n_item, F&& f) {
    if (n_item <= 1 || n_thread_ == 1) {
      for (int64_t i = 0; i < n_item; ++i) f(i, 0);
      return;
    }
    share([](void* body, int64_t item,
             int worker) { (*static_cast<std::remove_reference_t<F>*>(body))(item, worker); },
          const_cast<void*>(static_cast<const void*>(&f)), n_item);
  }

  /// Calls f(range, worker) for nearly equal ranges that make up [0, n): some a thread, or fewer of at least
  /// `least`. A thread gets its ranges in ascending order.
  template <class F>
  void for_ranges(int64_t n, int64_t least, F&& f) {
    constexpr int64_t kRangesPerThread = 4;
    const int64_t most = n_thread_ == 1 ? 1 : n_thread_ * kRangesPerThread;
    const int64_t n_range = std::min(std::max<int64_t>(n / std::max<int64_t>(least, 1), n > 0), most);
    for_each(n_range, [&](int64_t i, int worker) { f(split_range(n, i, n_range), worker); });
  }

  static constexpr int64_t kMostItems = int64_t{1} << 31;

 private:
  using Body = void (*)(void*, int64_t item, int worker);
  void share(Body body, void* context, int64_t n_item);
  void work(int index);
  void take_items(int index);
  bool has_items() const;
  void stop();

  const int n_thread_;
  const int n_spin_in_loop_, n_spin_between_;
  Body body_ = nullptr;
  void* context_ = nullptr;
  /// The loop's number of items above, the next item below: one word, so that an item is always one of the
  /// loop that it was taken from.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) WaitWord n_left_;  // items not yet done
  alignas(64) WaitWord n_loop_;  // changes with each loop
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace sw
