// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/scale.h"

namespace sw {

/// 32 signed bytes, then an f16 scale: x = d q. 8.5 bits a weight.
struct TOY8 {
  static constexpr int kBlockElems = 32;
  static constexpr float kErrorBound = 0.5f / 127 + 0x1p-11f;
  static constexpr float kMaxMagnitude = 127 * kMaxF16;
  struct Block {
    int8_t q[32];
    uint16_t d;  ///< f16
  };
  static_assert(sizeof(Block) == 34);

  static constexpr float at(const Block& block, int i) {
    return f16_to_f32(block.d) * static_cast<float>(block.q[i]);
  }

  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const float d = std::abs(extreme_weight(x, kMaxMagnitude)) / 127;
    const float inv = inverse_scale(d);
    block.d = scale_bits(d);
    for (int i = 0; i < 32; ++i) {
      block.q[i] = static_cast<int8_t>(std::lround(clean_weight(x[i], kMaxMagnitude) * inv));
    }
  }
};

}  // namespace sw
