// SPDX-License-Identifier: MIT
#pragma once
#include <cmath>
#include <cstdint>

#include "quant/scale.h"

namespace sw {

/// 32 nibbles and one f16 scale: x = d (q - 8). 4.5 bits a weight.
struct Q4_0 {
  static constexpr int kBlockElems = 32;
  /// A second value as large as the largest, but of the other sign, would need q = 16 and gets 15.
  static constexpr float kErrorBound = 1.0f / 8 + 0x1p-11f;
  static constexpr float kMaxMagnitude = 8 * kMaxF16;
  struct Block {
    uint16_t d;     ///< f16
    uint8_t q[16];  ///< weight i in the low nibble of byte i, weight i + 16 in the high one
  };
  static_assert(sizeof(Block) == 18);

  static constexpr float at(const Block& block, int i) {
    return f16_to_f32(block.d) * static_cast<float>((block.q[i % 16] >> i / 16 * 4 & 15) - 8);
  }

  /// The value of largest magnitude becomes q = 0; importance does not matter. q is
  /// rounded against the scale before it became f16, as every writer of this format does.
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const float d = extreme_weight(x, kMaxMagnitude) / -8;
    const float inv = inverse_scale(d);
    block.d = scale_bits(d);
    const auto quantize = [inv](float v) {
      return std::min(static_cast<int>(clean_weight(v, kMaxMagnitude) * inv + 8.5f), 15);
    };
    for (int i = 0; i < 16; ++i) {
      block.q[i] = static_cast<uint8_t>(quantize(x[i]) | (quantize(x[i + 16]) << 4));
    }
  }
};

}  // namespace sw
