// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/scale.h"

namespace sw {

/// Q4_1 with a fifth bit for each weight: x = d q + dmin. 6 bits a weight.
struct Q5_1 {
  static constexpr int kBlockElems = 32;
  static constexpr float kErrorBound = 1.0f / 31 + 3 * 0x1p-11f;  ///< as Q4_1's
  static constexpr float kMaxMagnitude = kMaxF16;
  struct Block {
    uint16_t d, dmin;  ///< f16
    FifthBits high;
    uint8_t q[16];  ///< weight i in the low nibble of byte i, weight i + 16 in the high one
  };
  static_assert(sizeof(Block) == 24);

  static constexpr float at(const Block& block, int i) {
    const int q = (block.q[i % 16] >> i / 16 * 4 & 15) | block.high.get(i);
    return f16_to_f32(block.d) * static_cast<float>(q) + f16_to_f32(block.dmin);
  }

  /// Importance does not matter.
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const RangeFit fit(x, 31, kMaxMagnitude);
    block.d = scale_bits(fit.d);
    block.dmin = scale_bits(fit.least);
    uint8_t q[32];
    for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(fit.quantize(x[i]));
    block.high.set(q);
    for (int i = 0; i < 16; ++i) block.q[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
  }
};

}  // namespace sw
