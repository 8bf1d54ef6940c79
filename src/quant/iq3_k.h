// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 3 bits in 16 sub-blocks of 16, each with an odd scale (4 bits and a sign) and a bit that shifts
/// its values, under an f16 factor. 3.4375 bits a weight.
struct IQ3_K {
  static constexpr int kBlockElems = 256, kSubElems = 16;
  static constexpr float kErrorBound = 0.35f;
  static constexpr float kMaxMagnitude = 700 * kMaxF16;
  using Codes = Codebook3;
  using Scales = LinearScales<-31, 2, 32>;
  struct Block {
    uint16_t d;          ///< f16
    uint16_t shifted;    ///< bit j: the values of sub-block j
    uint16_t negative;   ///< bit j: the scale of sub-block j
    uint8_t scales[8];   ///< (magnitude - 1) / 2, a nibble each
    CodeBits<2> q_low;   ///< bits 0 and 1 of the codes
    CodeBits<1> q_high;  ///< bit 2
  };
  static_assert(sizeof(Block) == 110);

  static constexpr int scale(const Block& block, int j) {
    const int half = block.scales[j / 2] >> j % 2 * 4 & 15;
    return block.negative >> j & 1 ? 15 - half : 16 + half;
  }
  static constexpr bool shifted(const Block& block, int j) { return block.shifted >> j & 1; }
  static constexpr float value(const Block& block, int j, int i) {
    return Codes::value(block.q_low.get(i) | block.q_high.get(i) << 2, shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) {
    block.q_low.add_to(codes, 0);
    block.q_high.add_to(codes, 2);
  }
  static constexpr float at(const Block& block, int i) {
    return ik_weight<IQ3_K>(f16_to_f32(block.d), block, i);
  }
  static void decode(const Block& block, float* out) { decode_ik<IQ3_K>(f16_to_f32(block.d), block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ3_K>(x, importance);
    block = {};
    block.d = fit.d;
    block.shifted = fit.shifted_bits();
    for (int j = 0; j < 16; ++j) {
      const int index = fit.scale[j], half = index < 16 ? 15 - index : index - 16;
      uint8_t& pair = block.scales[j / 2];
      pair = static_cast<uint8_t>(pair | half << j % 2 * 4);
      block.negative = static_cast<uint16_t>(block.negative | (index < 16 ? 1 : 0) << j);
    }
    block.q_low.set(fit.code, 0);
    block.q_high.set(fit.code, 2);
  }
};

}  // namespace sw
