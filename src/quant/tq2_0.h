// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ternary.h"

namespace sw {

/// 256 of -1, 0 and 1 in two bits each, and one f16 scale: x = d (q - 1). 2.0625 bits a weight.
struct TQ2_0 {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = TernaryFit::kErrorBound;
  static constexpr float kMaxMagnitude = kMaxF16;
  struct Block {
    uint8_t q[64];  ///< weights in halves of 128: byte 32 h + i holds weights 128 h + i + {0, 32, 64, 96}
    uint16_t d;     ///< f16
  };
  static_assert(sizeof(Block) == 66);

  static constexpr float at(const Block& block, int i) {
    const int q = block.q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
    return f16_to_f32(block.d) * static_cast<float>(q - 1);
  }
  static void decode(const Block& block, float* out) {
    const float d = f16_to_f32(block.d);
    for (int k = 0; k < 8; ++k) {
      for (int i = 0; i < 32; ++i) {
        out[32 * k + i] = d * static_cast<float>((block.q[k / 4 * 32 + i] >> k % 4 * 2 & 3) - 1);
      }
    }
  }

  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const TernaryFit fit(x);
    block = {};
    block.d = fit.d;
    for (int i = 0; i < 256; ++i) {
      uint8_t& byte = block.q[i / 128 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | fit.q[i] << i % 128 / 32 * 2);
    }
  }
};

}  // namespace sw
