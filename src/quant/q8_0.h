// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/scale.h"

namespace sw {

/// 32 signed bytes and one f16 scale: x = d q. 8.5 bits a weight.
struct Q8_0 {
  static constexpr int kBlockElems = 32;
  static constexpr float kErrorBound = 0.5f / 127 + 0x1p-11f;
  static constexpr float kMaxMagnitude = 127 * kMaxF16;
  struct Block {
    uint16_t d;  ///< f16
    int8_t q[32];
  };
  static_assert(sizeof(Block) == 34);

  static constexpr float at(const Block& block, int i) {
    return f16_to_f32(block.d) * static_cast<float>(block.q[i]);
  }

  /// The largest magnitude becomes +-127; importance does not matter. q is rounded (half away from
  /// zero) against the scale before it became f16, as every writer of this format does.
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    float largest = 0.0f;
    for (int i = 0; i < 32; ++i) largest = std::max(largest, std::abs(clean_weight(x[i], kMaxMagnitude)));
    const float d = largest / 127;
    const float inv = inverse_scale(d);
    block.d = scale_bits(d);
    for (int i = 0; i < 32; ++i) {
      block.q[i] = static_cast<int8_t>(std::round(clean_weight(x[i], kMaxMagnitude) * inv));
    }
  }
};

}  // namespace sw
