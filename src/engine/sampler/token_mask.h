// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace sw {

/// Which tokens of a vocabulary may come next, one bit per id; 0 <= id < n_vocab.
class TokenMask {
 public:
  /// Allows every token.
  explicit TokenMask(size_t n_vocab) : words_((n_vocab + kBits - 1) / kBits, kAll) {}

  bool allows(int32_t id) const { return words_[word(id)] & bit(id); }
  void allow(int32_t id) { words_[word(id)] |= bit(id); }
  void forbid(int32_t id) { words_[word(id)] &= ~bit(id); }
  void allow_all() { std::fill(words_.begin(), words_.end(), kAll); }
  void forbid_all() { std::fill(words_.begin(), words_.end(), 0); }
  /// Forbids what `other`, a mask of the same vocabulary, forbids.
  void intersect(const TokenMask& other) {
    std::transform(words_.begin(), words_.end(), other.words_.begin(), words_.begin(), std::bit_and<>());
  }

 private:
  static constexpr size_t kBits = 64;
  static constexpr uint64_t kAll = ~uint64_t{0};
  static size_t word(int32_t id) { return static_cast<size_t>(id) / kBits; }
  static uint64_t bit(int32_t id) { return uint64_t{1} << (static_cast<size_t>(id) % kBits); }

  std::vector<uint64_t> words_;
};

}  // namespace sw
