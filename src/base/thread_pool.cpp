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
constexpr int kSpinsInLoop = 2000;
// About a millisecond: long enough to bridge the gap between two loops of a decode step, short enough
// that an idle program uses no CPU time.
constexpr int kSpinsBetween = 20000;

bool has_processors(int n_thread) { return n_thread <= topology().n_processor; }

}  // namespace

Range split_range(int64_t n, int64_t index, int64_t count) {
  return {n * index / count, n * (index + 1) / count};
}

ThreadPool::ThreadPool(int n_thread)
    : n_thread_(n_thread),
      n_spin_in_loop_(has_processors(n_thread) ? kSpinsInLoop : 0),
      n_spin_between_(has_processors(n_thread) ? kSpinsBetween : 0) {
  SW_ASSERT(n_thread >= 1);
  threads_.reserve(static_cast<size_t>(n_thread - 1));
  try {
    for (int i = 1; i < n_thread; ++i) threads_.emplace_back([this, i] { work(i); });
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
  n_loop_.publish(n_loop_.load() + 1);
  for (std::thread& t : threads_) t.join();
}

bool ThreadPool::has_items() const {
  const uint64_t ticket = ticket_.load(std::memory_order_relaxed);
  return static_cast<uint32_t>(ticket) < ticket >> 32;
}

void ThreadPool::share(Body body, void* context, int64_t n_item) {
  SW_ASSERT(n_item <= kMostItems);
  body_ = body;
  context_ = context;
  n_left_.set(static_cast<uint32_t>(n_item));
  ticket_.store(static_cast<uint64_t>(n_item) << 32);
  n_loop_.publish(n_loop_.load() + 1, static_cast<int>(std::min<int64_t>(n_item, n_thread_)) - 1);
  take_items(0);
  n_left_.await(n_spin_in_loop_, [](uint32_t n) { return n == 0; });
}

// A loop ends only when all its items are reported, so whoever holds one may read the body; and whoever
// comes late takes none, or one of the loop that runs now. The items that are taken past the end, at most
// one a thread and loop, stay far from the ticket's upper half.
void ThreadPool::take_items(int index) {
  uint32_t n_done = 0;
  while (has_items()) {
    const uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
    const auto item = static_cast<uint32_t>(ticket);
    if (item >= ticket >> 32) break;
    body_(context_, item, index);
    ++n_done;
  }
  if (n_done > 0 && n_left_.fetch_sub(n_done) == n_done) n_left_.wake();
}

void ThreadPool::work(int index) {
  while (!stop_.load()) {
    take_items(index);
    // What counts is stored before n_loop_ changes, so whoever sleeps on that misses nothing.
    n_loop_.await(n_spin_between_, [this](uint32_t) { return has_items() || stop_.load(); });
  }
}

}  // namespace sw
