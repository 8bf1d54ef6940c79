// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/k_fit.h"
#include "quant/k_scales.h"
#include "quant/scale.h"

namespace sw {

/// 256 nibbles in 8 sub-blocks of 32, each with a 6-bit scale and minimum, under two f16 factors:
/// x = d scale[j] q - dmin min[j]. 4.5 bits a weight.
struct Q4_K {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 0.12f;
  static constexpr float kMaxMagnitude = AffineFit<8, 63>::kMaxMagnitude;
  struct Block {
    uint16_t d, dmin;    ///< f16
    uint8_t scales[12];  ///< see k_scales.h
    uint8_t q[128];      ///< byte 32 p + i: weight i of sub-block 2p in the low nibble, of 2p + 1 in the high
  };
  static_assert(sizeof(Block) == 144);

  /// q of weight i of sub-block j.
  static constexpr int quant(const Block& block, int j, int i) {
    return block.q[j / 2 * 32 + i] >> j % 2 * 4 & 15;
  }
  static constexpr float at(const Block& block, int i) { return k_weight<Q4_K>(block, i); }
  static void decode(const Block& block, float* out) { decode_k_steps<Q4_K>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const AffineFit<8, 63> fit(x, importance, 15);
    block.d = fit.d;
    block.dmin = fit.dmin;
    pack_k_scales(fit.scale, fit.min, block.scales);
    for (int b = 0; b < 128; ++b) {
      const uint8_t* q = fit.q + b / 32 * 64 + b % 32;
      block.q[b] = static_cast<uint8_t>(q[0] | (q[32] << 4));
    }
  }
};

}  // namespace sw
