// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/k_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 three-bit weights in 16 sub-blocks of 16, each with a scale of 6 bits, under one f16 factor:
/// x = d (scale[j] - 32) (q - 4). 3.4375 bits a weight.
struct Q3_K {
  static constexpr int kBlockElems = 256;
  /// A second value as large as the largest, but of the other sign, would need q = 8 and gets 7.
  static constexpr float kErrorBound = 0.3f;
  using Fit = SymmetricFit<4, 32>;
  static constexpr float kMaxMagnitude = Fit::kMaxMagnitude;
  struct Block {
    uint8_t high[32];  ///< bit k of byte i: the top bit of weight 32 k + i
    uint8_t
        low[64];  ///< weights in halves of 128: byte 32 h + i: the low bits of 128 h + i + {0, 32, 64, 96}
    uint8_t scales[12];  ///< byte k < 8: low nibbles of scales k and k + 8; byte 8 + k: their top bits, of
                         ///< scales k + {0, 4, 8, 12}
    uint16_t d;          ///< f16
  };
  static_assert(sizeof(Block) == 110);

  static constexpr float step(const Block& block, int j) {
    const int low = block.scales[j % 8] >> j / 8 * 4 & 15, high = block.scales[8 + j % 4] >> j / 4 * 2 & 3;
    return f16_to_f32(block.d) * static_cast<float>((low | high << 4) - 32);
  }
  static constexpr float at(const Block& block, int i) {
    const int low = block.low[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
    const int high = block.high[i % 32] >> i / 32 & 1;
    return step(block, i / 16) * static_cast<float>((low | high << 2) - 4);
  }
  static void decode(const Block& block, float* out) {
    for (int j = 0; j < 16; ++j) {
      const float factor = step(block, j);
      const uint8_t* low = block.low + j / 8 * 32 + j % 2 * 16;
      const uint8_t* high = block.high + j % 2 * 16;
      const int shift = j % 8 / 2 * 2;
      for (int i = 0; i < 16; ++i) {
        out[16 * j + i] =
            factor * static_cast<float>(((low[i] >> shift & 3) | (high[i] >> j / 2 & 1) << 2) - 4);
      }
    }
  }

  static void encode(const float* x, const float* importance, Block& block) {
    const Fit fit(x, importance);
    block = {};
    block.d = fit.d;
    for (int j = 0; j < 16; ++j) {
      const int scale = fit.scale[j] + 32;
      uint8_t& low = block.scales[j % 8];
      uint8_t& high = block.scales[8 + j % 4];
      low = static_cast<uint8_t>(low | (scale & 15) << j / 8 * 4);
      high = static_cast<uint8_t>(high | scale >> 4 << j / 4 * 2);
    }
    for (int i = 0; i < 256; ++i) {
      const int q = fit.q[i] + 4;
      uint8_t& low = block.low[i / 128 * 32 + i % 32];
      uint8_t& high = block.high[i % 32];
      low = static_cast<uint8_t>(low | (q & 3) << i % 128 / 32 * 2);
      high = static_cast<uint8_t>(high | q >> 2 << i / 32);
    }
  }
};

}  // namespace sw
