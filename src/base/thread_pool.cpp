// SPDX-License-Identifier: MIT
#include "base/thread_pool.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "base/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sw {
namespace {

// With more threads than free cores a spinning thread keeps the one it waits for from running.
constexpr int kSpinsBeforeYield = 2000;
// About a millisecond: long enough to bridge the gap between two regions of a decode step, short enough
// that an idle program uses no CPU time.
constexpr int kSpinsBeforeSleep = 4000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

/// One turn of a waiting loop, the `spins`-th.
void spin(int spins) {
  if (spins < kSpinsBeforeYield) {
    relax();
  } else {
    std::this_thread::yield();
  }
}

}  // namespace

Range split_range(int64_t n, int index, int count, int64_t grain) {
  const int64_t grains = (n + grain - 1) / grain;
  const int64_t begin = grains * index / count * grain, end = grains * (index + 1) / count * grain;
  return {std::min(begin, n), std::min(end, n)};
}

ThreadPool::ThreadPool(int n_thread) : n_thread_(n_thread) {
  SW_ASSERT(n_thread >= 1);
  threads_.reserve(static_cast<size_t>(n_thread - 1));
  try {
    for (int i = 1; i < n_thread; ++i) threads_.emplace_back([this, i] { worker(i); });
  } catch (const std::system_error& e) {
    stop();
    throw SystemError({.what = "cannot start a thread",
                       .expected = std::to_string(n_thread) + " of them",
                       .got = e.what(),
                       .hint = "-t sets their number"});
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_.store(true);
  {
    const std::lock_guard lock(mutex_);
    epoch_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::run_erased(Body body, void* context) {
  body_ = body;
  context_ = context;
  n_running_.store(n_thread_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1);  // seq_cst: a worker either sees the new epoch or is counted as sleeping below
  if (n_sleeping_.load() > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  Team team(*this, 0);
  body(context, team);
  for (int spins = 0; n_running_.load(std::memory_order_acquire) != 0; ++spins) {
    spin(spins);
  }
}

void ThreadPool::worker(int index) {
  uint64_t seen = 0;
  for (;;) {
    int spins = 0;
    while (epoch_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpinsBeforeSleep) {
        spin(spins);
        continue;
      }
      std::unique_lock lock(mutex_);
      n_sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return epoch_.load() != seen; });
      n_sleeping_.fetch_sub(1);
    }
    ++seen;
    if (stop_.load()) return;
    Team team(*this, index);
    body_(context_, team);
    n_running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::barrier_wait() {
  if (n_thread_ == 1) return;
  const uint64_t round = barrier_round_.load(std::memory_order_acquire);
  if (barrier_arrived_.fetch_add(1, std::memory_order_acq_rel) == n_thread_ - 1) {
    barrier_arrived_.store(0, std::memory_order_relaxed);
    barrier_round_.store(round + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; barrier_round_.load(std::memory_order_acquire) == round; ++spins) {
    spin(spins);
  }
}

}  // namespace sw
