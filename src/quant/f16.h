// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "base/half.h"

namespace sw {

/// IEEE binary16: round to nearest even, larger values become infinite, NaN stays NaN.
struct F16 {
  static constexpr int kBlockElems = 1;
  static constexpr float kErrorBound = 0x1p-11f;
  static constexpr float kMaxMagnitude = 65504.0f;
  struct Block {
    uint16_t bits;
  };

  static constexpr float at(const Block& block, int) { return f16_to_f32(block.bits); }
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    block.bits = f32_to_f16(*x);
  }
};

}  // namespace sw
