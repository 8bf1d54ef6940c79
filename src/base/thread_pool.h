// SPDX-License-Identifier: MIT
#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "base/wait_word.h"

namespace sw {

/// A half-open range of work items.
struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// Part `index` of `count` nearly equal parts of [0, n), cut at multiples of `grain`.
Range split_range(int64_t n, int index, int count, int64_t grain = 1);

/// A fixed team of threads for parallel regions of a few microseconds. The caller is thread 0; whoever waits
/// for others spins for a while and then sleeps, at once where there are more threads than processors. One
/// region at a time, started by the owner.
class ThreadPool {
 public:
  /// What a region's function gets: its index, the team's size and a barrier of the team.
  class Team {
   public:
    int index() const { return index_; }
    int size() const { return pool_.size(); }
    /// Waits until every thread of the region has come here. About 0.2 us when all are running.
    void barrier() { pool_.barrier_wait(); }
    /// This thread's share of [0, n).
    Range share(int64_t n, int64_t grain = 1) const { return split_range(n, index_, size(), grain); }

   private:
    friend class ThreadPool;
    Team(ThreadPool& pool, int index) : pool_(pool), index_(index) {}
    ThreadPool& pool_;
    int index_;
  };

  /// `n_thread` >= 1 threads including the caller.
  explicit ThreadPool(int n_thread);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return n_thread_; }

  /// Runs f(Team&) on every thread and returns when all are done. f must not throw. No allocation.
  template <class F>
  void run(F&& f) {
    run_erased([](void* body, Team& team) { (*static_cast<std::remove_reference_t<F>*>(body))(team); },
               const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  using Body = void (*)(void*, Team&);
  void run_erased(Body body, void* context);
  void worker(int index);
  void stop();
  void barrier_wait();

  const int n_thread_;
  const int n_spin_in_region_, n_spin_between_;
  Body body_ = nullptr;
  void* context_ = nullptr;
  alignas(64) WaitWord epoch_;      // a new region is there when it changes
  alignas(64) WaitWord n_running_;  // workers not yet done with the region
  alignas(64) std::atomic<int> barrier_arrived_{0};
  alignas(64) WaitWord barrier_round_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace sw
