// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sw {

/// A hash map from pairs of numbers >= 0 (ids, bytes); filled once, then only read.
template <class Value>
class PairMap {
 public:
  PairMap() : PairMap(0) {}
  /// Room for `n_pairs` different pairs and no more.
  explicit PairMap(size_t n_pairs) : slots_(std::bit_ceil(2 * n_pairs + 1)), mask_(slots_.size() - 1) {}

  /// The pair's value, made anew where there is none.
  Value& at(int32_t left, int32_t right) {
    Slot& slot = slots_[place(left, right)];
    slot.left = left;
    slot.right = right;
    return slot.value;
  }
  /// Null where there is none.
  const Value* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[place(left, right)];
    return slot.left < 0 ? nullptr : &slot.value;
  }

 private:
  struct Slot {
    int32_t left = -1, right = -1;
    Value value = {};
  };

  /// Where the pair stands or would stand: open addressing, at most half full.
  size_t place(int32_t left, int32_t right) const {
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    size_t i = (key * 0x9E3779B97F4A7C15u) >> 32 & mask_;
    while (slots_[i].left >= 0 && (slots_[i].left != left || slots_[i].right != right)) i = (i + 1) & mask_;
    return i;
  }

  std::vector<Slot> slots_;
  size_t mask_;
};

}  // namespace sw
