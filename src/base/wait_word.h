// SPDX-License-Identifier: MIT
#pragma once
#include <atomic>
#include <cstdint>
#include <limits>

namespace sw {

/// A number that threads wait for: they spin first, as it changes within microseconds where every thread has
/// a processor of its own, and then sleep, as a spinning thread keeps the one that it waits for from running
/// where there are fewer. They never yield: beside a busy process that gives the processor away for
/// milliseconds.
class WaitWord {
 public:
  explicit WaitWord(uint32_t value = 0) : value_(value) {}

  uint32_t load() const { return value_.load(std::memory_order_acquire); }
  /// Whoever is to wait for less than this calls wake() later.
  uint32_t fetch_sub(uint32_t n) { return value_.fetch_sub(n); }
  void set(uint32_t value) { value_.store(value); }
  /// Sets the value and wakes those that sleep, at most `n_wake`: the others sleep on.
  void publish(uint32_t value, int n_wake = kAll) {
    value_.store(value);
    wake(n_wake);
  }
  void wake(int n_wake = kAll) {
    if (n_sleeping_.load() > 0) wake_sleeping(n_wake);
  }
  /// Waits until done(value), at most `n_spin` turns of some ten nanoseconds awake.
  template <class Done>
  void await(int n_spin, Done&& done) {
    for (int i = 0; i < n_spin; ++i) {
      if (done(load())) return;
      relax();
    }
    // Sequentially consistent: who publishes either sees this thread counted or is seen in the loop.
    n_sleeping_.fetch_add(1);
    for (uint32_t value = value_.load(); !done(value); value = value_.load()) sleep_while(value);
    n_sleeping_.fetch_sub(1);
  }

 private:
  static void relax();
  void sleep_while(uint32_t value);
  void wake_sleeping(int n_wake);

  static constexpr int kAll = std::numeric_limits<int>::max();

  std::atomic<uint32_t> value_;
  std::atomic<uint32_t> n_sleeping_{0};
};

}  // namespace sw
