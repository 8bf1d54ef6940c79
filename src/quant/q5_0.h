// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/scale.h"

namespace sw {

/// Q4_0 with a fifth bit for each weight: x = d (q - 16). 5.5 bits a weight.
struct Q5_0 {
  static constexpr int kBlockElems = 32;
  /// A second value as large as the largest, but of the other sign, would need q = 32 and gets 31.
  static constexpr float kErrorBound = 1.0f / 16 + 0x1p-11f;
  static constexpr float kMaxMagnitude = 16 * kMaxF16;
  struct Block {
    uint16_t d;  ///< f16
    FifthBits high;
    uint8_t q[16];  ///< weight i in the low nibble of byte i, weight i + 16 in the high one
  };
  static_assert(sizeof(Block) == 22);

  static constexpr float at(const Block& block, int i) {
    const int q = (block.q[i % 16] >> i / 16 * 4 & 15) | block.high.get(i);
    return f16_to_f32(block.d) * static_cast<float>(q - 16);
  }

  /// The value of largest magnitude becomes q = 0; importance does not matter. q is rounded against the scale
  /// before it became f16, as every writer of this format does.
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const float d = extreme_weight(x, kMaxMagnitude) / -16;
    const float inv = inverse_scale(d);
    block.d = scale_bits(d);
    uint8_t q[32];
    for (int i = 0; i < 32; ++i) {
      q[i] = static_cast<uint8_t>(
          std::min(static_cast<int>(clean_weight(x[i], kMaxMagnitude) * inv + 16.5f), 31));
    }
    block.high.set(q);
    for (int i = 0; i < 16; ++i) block.q[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
  }
};

}  // namespace sw
