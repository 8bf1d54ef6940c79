// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>

#include "quant/k_fit.h"
#include "quant/k_scales.h"
#include "quant/scale.h"

namespace sw {

/// Q4_K with a fifth bit for each weight, kept apart from the nibbles. 5.5 bits a weight.
struct Q5_K {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 0.07f;
  static constexpr float kMaxMagnitude = AffineFit<8, 63>::kMaxMagnitude;
  struct Block {
    uint16_t d, dmin;    ///< f16
    uint8_t scales[12];  ///< see k_scales.h
    uint8_t high[32];    ///< bit j of byte i: the fifth bit of weight i of sub-block j
    uint8_t q[128];      ///< byte 32 p + i: weight i of sub-block 2p in the low nibble, of 2p + 1 in the high
  };
  static_assert(sizeof(Block) == 176);

  /// q of weight i of sub-block j.
  static constexpr int quant(const Block& block, int j, int i) {
    return (block.q[j / 2 * 32 + i] >> j % 2 * 4 & 15) | (block.high[i] >> j & 1) << 4;
  }
  static constexpr float at(const Block& block, int i) { return k_weight<Q5_K>(block, i); }
  static void decode(const Block& block, float* out) { decode_k_steps<Q5_K>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const AffineFit<8, 63> fit(x, importance, 31);
    block.d = fit.d;
    block.dmin = fit.dmin;
    pack_k_scales(fit.scale, fit.min, block.scales);
    std::fill_n(block.high, 32, uint8_t{0});
    for (int i = 0; i < 256; ++i) {
      block.high[i % 32] = static_cast<uint8_t>(block.high[i % 32] | (fit.q[i] >> 4 << i / 32));
    }
    for (int b = 0; b < 128; ++b) {
      const uint8_t* q = fit.q + b / 32 * 64 + b % 32;
      block.q[b] = static_cast<uint8_t>((q[0] & 15) | ((q[32] & 15) << 4));
    }
  }
};

}  // namespace sw
