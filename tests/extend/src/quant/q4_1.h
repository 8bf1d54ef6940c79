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
  static constexpr float kErrorBound = 1.0f / 15 + 3 * 0x1p-11f;
  static constexpr float kMaxMagnitude = kMaxF16;
  struct Block {
    uint16_t d, dmin;  ///< f16
    uint8_t q[16];     ///< weight i in the low nibble of byte i, weight i + 16 in the high one
  };
  static_assert(sizeof(Block) == 20);

  static void decode(const Block& block, float* out) {
    const float d = f16_to_f32(block.d), min = f16_to_f32(block.dmin);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * static_cast<float>(block.q[i] & 15) + min;
      out[i + 16] = d * static_cast<float>(block.q[i] >> 4) + min;
    }
  }

  static void encode(const float* x, const float* /*importance*/, Block& block) {
    float least = clean_weight(x[0], kMaxMagnitude), most = least;
    for (int i = 1; i < 32; ++i) {
      const float v = clean_weight(x[i], kMaxMagnitude);
      least = std::min(least, v);
      most = std::max(most, v);
    }
    // So small that the steps of an f16 scale, 15 times over, would do more harm than zeros.
    if (std::max(std::abs(least), std::abs(most)) < 0x1p-20f) least = most = 0.0f;
    const float d = (most - least) / 15;
    const float inv = inverse_scale(d);
    block.d = scale_bits(d);
    block.dmin = scale_bits(least);
    const auto quantize = [&](float v) {
      return std::min(static_cast<int>((clean_weight(v, kMaxMagnitude) - least) * inv + 0.5f), 15);
    };
    for (int i = 0; i < 16; ++i) {
      block.q[i] = static_cast<uint8_t>(quantize(x[i]) | (quantize(x[i + 16]) << 4));
    }
  }
};

}  // namespace sw
