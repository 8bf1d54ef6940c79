// SPDX-License-Identifier: MIT
#include "base/thread_pool.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/topology.h"

namespace sw {
namespace {

// Some hundred microseconds: a thread that has its processor comes by then.
constexpr int kSpinsInRegion = 2000;
// About a millisecond: long enough to bridge the gap between two regions of a decode step, short enough
// that an idle program uses no CPU time.
constexpr int kSpinsBetween = 20000;

bool has_processors(int n_thread) { return n_thread <= topology().n_processor; }

}  // namespace

Range split_range(int64_t n, int index, int count, int64_t grain) {
  const int64_t grains = (n + grain - 1) / grain;
  const int64_t begin = grains * index / count * grain, end = grains * (index + 1) / count * grain;
  return {std::min(begin, n), std::min(end, n)};
}

ThreadPool::ThreadPool(int n_thread)
    : n_thread_(n_thread),
      n_spin_in_region_(has_processors(n_thread) ? kSpinsInRegion : 0),
      n_spin_between_(has_processors(n_thread) ? kSpinsBetween : 0) {
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
  epoch_.publish(epoch_.load() + 1);
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::run_erased(Body body, void* context) {
  body_ = body;
  context_ = context;
  n_running_.set(static_cast<uint32_t>(n_thread_ - 1));
  epoch_.publish(epoch_.load() + 1);
  Team team(*this, 0);
  body(context, team);
  n_running_.await(n_spin_in_region_, [](uint32_t n) { return n == 0; });
}

void ThreadPool::worker(int index) {
  for (uint32_t seen = 0;; ++seen) {
    epoch_.await(n_spin_between_, [&](uint32_t epoch) { return epoch != seen; });
    if (stop_.load()) return;
    Team team(*this, index);
    body_(context_, team);
    if (n_running_.fetch_sub(1) == 1) n_running_.wake();
  }
}

void ThreadPool::barrier_wait() {
  if (n_thread_ == 1) return;
  const uint32_t round = barrier_round_.load();
  if (barrier_arrived_.fetch_add(1, std::memory_order_acq_rel) == n_thread_ - 1) {
    barrier_arrived_.store(0, std::memory_order_relaxed);
    barrier_round_.publish(round + 1);
    return;
  }
  barrier_round_.await(n_spin_in_region_, [&](uint32_t now) { return now != round; });
}

}  // namespace sw
