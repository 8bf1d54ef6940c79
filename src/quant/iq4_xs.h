// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/iq4_values.h"
#include "quant/scale.h"

namespace sw {

/// IQ4_NL in 8 sub-blocks of 32, each with a scale of 6 bits, under one f16 factor:
/// x = d (scale[j] - 32) value(q). 4.25 bits a weight.
struct IQ4_XS {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 0.2f;
  static constexpr float kMaxMagnitude = Iq4Fit<8>::kMaxMagnitude;
  struct Block {
    uint16_t d;             ///< f16
    uint16_t scales_high;   ///< bits 2 j and 2 j + 1: the top bits of scale j
    uint8_t scales_low[4];  ///< scale 2 k in the low nibble of byte k, 2 k + 1 in the high one
    uint8_t q[128];         ///< of sub-block j from byte 16 j on, as in IQ4_NL
  };
  static_assert(sizeof(Block) == 136);

  static constexpr float step(const Block& block, int j) {
    const int low = block.scales_low[j / 2] >> j % 2 * 4 & 15, high = block.scales_high >> 2 * j & 3;
    return f16_to_f32(block.d) * static_cast<float>((low | high << 4) - 32);
  }
  static constexpr float at(const Block& block, int i) {
    const int q = block.q[i / 32 * 16 + i % 16] >> i % 32 / 16 * 4 & 15;
    return step(block, i / 32) * static_cast<float>(table_entry<Iq4Values>(q));
  }
  static void decode(const Block& block, float* out) {
    for (int j = 0; j < 8; ++j) {
      const float factor = step(block, j);
      for (int i = 0; i < 16; ++i) {
        const uint8_t byte = block.q[16 * j + i];
        out[32 * j + i] = factor * static_cast<float>(table_entry<Iq4Values>(byte & 15));
        out[32 * j + i + 16] = factor * static_cast<float>(table_entry<Iq4Values>(byte >> 4));
      }
    }
  }

  static void encode(const float* x, const float* importance, Block& block) {
    const Iq4Fit<8> fit(x, importance);
    block = {};
    block.d = fit.d;
    for (int j = 0; j < 8; ++j) {
      const int scale = fit.scale[j] + 32;
      block.scales_high = static_cast<uint16_t>(block.scales_high | scale >> 4 << 2 * j);
      block.scales_low[j / 2] = static_cast<uint8_t>(block.scales_low[j / 2] | (scale & 15) << j % 2 * 4);
      for (int i = 0; i < 16; ++i) {
        block.q[16 * j + i] = static_cast<uint8_t>(fit.q[32 * j + i] | fit.q[32 * j + i + 16] << 4);
      }
    }
  }
};

}  // namespace sw
