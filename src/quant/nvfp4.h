// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <cstdint>

#include "quant/mxfp4.h"

namespace sw {

/// NVIDIA's four-bit floats: 64 of MXFP4's floats in 4 sub-blocks of 16, each with an eight-bit float (four
/// bits of exponent, three of mantissa, no sign) as scale. 4.5 bits a weight.
struct NVFP4 {
  static constexpr int kBlockElems = 64;
  static constexpr float kErrorBound = 0.25f;
  static constexpr float kMaxMagnitude = 6 * 448.0f;
  struct Block {
    uint8_t scales[4];
    uint8_t
        q[32];  ///< of sub-block j from byte 8 j on: weight i in the low nibble of byte i, i + 8 in the high
  };
  static_assert(sizeof(Block) == 36);

  /// Half of a scale, for floats that are doubled. The pattern of NaN stands for 0, and the top bit for
  /// nothing, in the codes that an encoder writes.
  static constexpr float half_scale(uint8_t code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    if (code == 0x7f) return 0.0f;
    if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
    return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127 - 8) << 23 |
                                static_cast<uint32_t>(mantissa) << 20);
  }
  static constexpr float at(const Block& block, int i) {
    const int q = block.q[i / 16 * 8 + i % 8] >> i % 16 / 8 * 4 & 15;
    return half_scale(block.scales[i / 16]) * static_cast<float>(MXFP4::doubled(q));
  }
  static void decode(const Block& block, float* out) {
    for (int j = 0; j < 4; ++j) {
      const float step = half_scale(block.scales[j]);
      for (int i = 0; i < 8; ++i) {
        const uint8_t byte = block.q[8 * j + i];
        out[16 * j + i] = step * static_cast<float>(MXFP4::kDoubled[byte & 15]);
        out[16 * j + i + 8] = step * static_cast<float>(MXFP4::kDoubled[byte >> 4]);
      }
    }
  }

  /// Tries the scales from which the largest float, 6, lies around the sub-block's largest weight. Of equal
  /// errors the larger scale counts.
  static void encode(const float* x, const float* importance, Block& block);
};

}  // namespace sw
