// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <optional>

namespace sw {

/// A u64 that remembers overflow: any operation that leaves the range makes the value invalid for
/// good. All arithmetic on counts and offsets that a file names goes through it.
class Checked {
 public:
  constexpr Checked(uint64_t value) : value_(value) {}  // NOLINT: implicit, so that expressions read plainly

  constexpr bool valid() const { return valid_; }
  /// The value, or nothing after an overflow.
  constexpr std::optional<uint64_t> value() const { return valid_ ? std::optional(value_) : std::nullopt; }
  /// True when valid and not above `limit`.
  constexpr bool at_most(uint64_t limit) const { return valid_ && value_ <= limit; }

  friend constexpr Checked operator+(Checked a, Checked b) {
    Checked r(0);
    r.valid_ = !__builtin_add_overflow(a.value_, b.value_, &r.value_) && a.valid_ && b.valid_;
    return r;
  }
  friend constexpr Checked operator*(Checked a, Checked b) {
    Checked r(0);
    r.valid_ = !__builtin_mul_overflow(a.value_, b.value_, &r.value_) && a.valid_ && b.valid_;
    return r;
  }
  /// Rounds up to a multiple of `alignment` (> 0).
  friend constexpr Checked align_up(Checked a, uint64_t alignment) {
    Checked r = a + Checked(alignment - 1);
    r.value_ -= r.value_ % alignment;
    return r;
  }

 private:
  uint64_t value_;
  bool valid_ = true;
};

}  // namespace sw
