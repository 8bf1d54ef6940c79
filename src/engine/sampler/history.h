// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/error.h"

namespace sw {

/// The most tokens that a sampler takes back: the drafts of one check.
constexpr size_t kMaxRollback = 64;

/// A value that follows the text, with what it was before each of the last kMaxRollback tokens. Allocates
/// when it is made only.
template <class T>
class History {
 public:
  explicit History(const T& value) : now_(value), before_(kMaxRollback, value) {}

  const T& now() const { return now_; }
  void set(const T& value) { now_ = value; }
  /// One more token: keeps the value as it was before, for rollback().
  void advance() {
    before_[end_++ % kMaxRollback] = now_;
    n_kept_ = std::min(n_kept_ + 1, kMaxRollback);
  }
  /// The value before the last `n` tokens. What is older than the last kMaxRollback calls of advance() is
  /// gone.
  void rollback(size_t n) {
    SW_ASSERT(n <= n_kept_);
    if (n == 0) return;
    n_kept_ -= n;
    end_ -= n;
    now_ = before_[end_ % kMaxRollback];
  }

 private:
  T now_;
  std::vector<T> before_;  // a ring
  size_t end_ = 0;         // tokens so far
  size_t n_kept_ = 0;
};

}  // namespace sw
