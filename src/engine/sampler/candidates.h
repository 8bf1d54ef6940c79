// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace sw {

/// One token that may come next.
struct Candidate {
  int32_t id = 0;
  float logit = 0;
  float p = 0;  ///< filled by softmax()
};

struct LogitBias {
  int32_t id = 0;
  float bias = 0;  ///< added to the token's logit; -inf: never chosen
};

/// The tokens that may come next, best first once sorted. Ties go to the lower id; sums run from the
/// best down; so a seed gives the same text on every machine.
class Candidates {
 public:
  /// All of a vocabulary. NaN logits are left out.
  void assign(std::span<const float> logits);
  /// After assign(), before any sort.
  void add_bias(std::span<const LogitBias> biases);
  void sort();
  /// Sorts and sets every p.
  void softmax();
  /// Keeps the `n` best, at least one. Sorts.
  void keep(size_t n);
  std::vector<Candidate>& items() { return items_; }
  const std::vector<Candidate>& items() const { return items_; }
  bool empty() const { return items_.empty(); }

 private:
  std::vector<Candidate> items_;
};

}  // namespace sw
