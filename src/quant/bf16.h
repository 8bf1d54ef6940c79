// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "base/half.h"

namespace sw {

/// The upper half of a binary32: round to nearest even, larger values become infinite, NaN stays NaN.
struct BF16 {
  static constexpr int kBlockElems = 1;
  static constexpr float kErrorBound = 0x1p-8f;
  static constexpr float kMaxMagnitude = 0x1.fep127f;
  struct Block {
    uint16_t bits;
  };

  static constexpr float at(const Block& block, int) { return bf16_to_f32(block.bits); }
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    block.bits = f32_to_bf16(*x);
  }
};

}  // namespace sw
