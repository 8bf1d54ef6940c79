// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/sampler/token_mask.h"

namespace sw {

/// One token that may come next.
struct Candidate {
  int32_t id = 0;
  float logit = 0;  ///< finite
  float p = 0;      ///< filled by softmax()
};

struct LogitBias {
  int32_t id = 0;
  float bias = 0;  ///< added to the token's logit; -inf: never chosen
};

/// What overflows becomes the largest float, so that no difference of two logits is NaN.
inline float finite(float x) {
  constexpr float kMax = std::numeric_limits<float>::max();
  return std::clamp(x, -kMax, kMax);
}

/// The tokens that may come next, best first once sorted. Ties go to the lower id; sums run from the
/// best down; so a seed gives the same text on every machine.
class Candidates {
 public:
  void reserve(size_t n_vocab) {
    items_.reserve(n_vocab);
    sorted_.reserve(n_vocab);
  }
  /// The tokens of a vocabulary that `allowed` allows (null: all), but for those whose logit is -inf. Throws
  /// sw::Error on NaN and +inf, of forbidden tokens too. One pass over the logits.
  void assign(std::span<const float> logits, const TokenMask* allowed = nullptr);
  /// Adds biases, none of them -inf: what is never to be chosen is not allowed. After assign(), before any
  /// sort.
  void add_bias(std::span<const LogitBias> biases);
  /// Best first. Cost: three passes where ids still rise, else as std::sort.
  void sort();
  /// Sorts and sets every p.
  void softmax();
  /// Keeps the `n` best, at least one. Sorts.
  void keep(size_t n);
  std::vector<Candidate>& items() { return items_; }
  const std::vector<Candidate>& items() const { return items_; }
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }

 private:
  template <class Allows>
  void fill(std::span<const float> logits, Allows allows);
  void sort_by_digits();

  std::vector<Candidate> items_;
  std::vector<Candidate> sorted_;  // while sorting
};

}  // namespace sw
