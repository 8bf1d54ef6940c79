// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/scale.h"

namespace sw {

/// 32 nibbles with an f16 scale and an f16 minimum: x = d q + dmin. 5 bits a weight.
struct Q4_1 {
  static constexpr int kBlockElems = 32;
  /// Half a step of a range twice as wide as the largest value, the rounding of both factors beside it.
  static constexpr float kErrorBound = 1.0f / 15 + 3 * 0x1p-11f;
  static constexpr float kMaxMagnitude = kMaxF16;
  struct Block {
    uint16_t d, dmin;  ///< f16
    uint8_t q[16];     ///< weight i in the low nibble of byte i, weight i + 16 in the high one
  };
  static_assert(sizeof(Block) == 20);

  static constexpr float at(const Block& block, int i) {
    const float d = f16_to_f32(block.d), min = f16_to_f32(block.dmin);
    return d * static_cast<float>(block.q[i % 16] >> i / 16 * 4 & 15) + min;
  }

  /// Importance does not matter.
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const RangeFit fit(x, 15, kMaxMagnitude);
    block.d = scale_bits(fit.d);
    block.dmin = scale_bits(fit.least);
    for (int i = 0; i < 16; ++i) {
      block.q[i] = static_cast<uint8_t>(fit.quantize(x[i]) | (fit.quantize(x[i + 16]) << 4));
    }
  }
};

}  // namespace sw
