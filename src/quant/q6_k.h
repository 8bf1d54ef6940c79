// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/k_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 six-bit weights in 16 sub-blocks of 16, each with a signed byte as scale, under one f16 factor:
/// x = d scale[j] (q - 32). 6.5625 bits a weight.
struct Q6_K {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 0.04f;
  static constexpr float kMaxMagnitude = SymmetricFit<32, 128>::kMaxMagnitude;
  struct Block {
    uint8_t low[128];  ///< weights in halves of 128: byte 64 h + i holds the low nibbles of weights
                       ///< 128 h + i and 128 h + i + 64
    uint8_t high[64];  ///< byte 32 h + i: the top two bits of weights 128 h + i + {0, 32, 64, 96}
    int8_t scales[16];
    uint16_t d;  ///< f16
  };
  static_assert(sizeof(Block) == 210);

  static constexpr float at(const Block& block, int i) {
    const int half = i / 128, r = i % 128;
    const int low = block.low[64 * half + r % 64] >> r / 64 * 4 & 15;
    const int high = block.high[32 * half + r % 32] >> r / 32 * 2 & 3;
    const float step = f16_to_f32(block.d) * static_cast<float>(block.scales[i / 16]);
    return step * static_cast<float>((low | high << 4) - 32);
  }

  static void encode(const float* x, const float* importance, Block& block) {
    const SymmetricFit<32, 128> fit(x, importance);
    block = {};
    block.d = fit.d;
    for (int j = 0; j < 16; ++j) block.scales[j] = fit.scale[j];
    for (int i = 0; i < 256; ++i) {
      const int half = i / 128, r = i % 128;
      const int q = fit.q[i] + 32;
      uint8_t& low = block.low[64 * half + r % 64];
      uint8_t& high = block.high[32 * half + r % 32];
      low = static_cast<uint8_t>(low | (q & 15) << r / 64 * 4);
      high = static_cast<uint8_t>(high | q >> 4 << r / 32 * 2);
    }
  }
};

}  // namespace sw
