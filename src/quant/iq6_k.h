// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 6 bits in 16 sub-blocks of 16, each with an 8-bit scale and a bit that shifts its values, under
/// an f16 factor. 6.625 bits a weight.
struct IQ6_K {
  static constexpr int kBlockElems = 256, kSubElems = 16;
  static constexpr float kErrorBound = 0.05f;
  static constexpr float kMaxMagnitude = 6000 * kMaxF16;
  using Codes = Codebook6;
  using Scales = LinearScales<-128, 1, 256>;
  struct Block {
    uint16_t d;        ///< f16
    uint16_t shifted;  ///< bit j: the values of sub-block j
    int8_t scales[16];
    CodeBits<4> q_low;   ///< bits 0 to 3 of the codes
    CodeBits<2> q_high;  ///< bits 4 and 5
  };
  static_assert(sizeof(Block) == 212);

  static constexpr int scale(const Block& block, int j) { return block.scales[j] + 128; }
  static constexpr bool shifted(const Block& block, int j) { return block.shifted >> j & 1; }
  static constexpr float value(const Block& block, int j, int i) {
    return Codes::value(block.q_low.get(i) | block.q_high.get(i) << 4, shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) {
    block.q_low.add_to(codes, 0);
    block.q_high.add_to(codes, 4);
  }
  static constexpr float at(const Block& block, int i) {
    return ik_weight<IQ6_K>(f16_to_f32(block.d), block, i);
  }
  static void decode(const Block& block, float* out) { decode_ik<IQ6_K>(f16_to_f32(block.d), block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ6_K>(x, importance);
    block = {};
    block.d = fit.d;
    block.shifted = fit.shifted_bits();
    for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(fit.scale[j] - 128);
    block.q_low.set(fit.code, 0);
    block.q_high.set(fit.code, 4);
  }
};

}  // namespace sw
