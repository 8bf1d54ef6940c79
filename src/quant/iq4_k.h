// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 4 bits in 16 sub-blocks of 16, each with a 6-bit scale and a bit that shifts its values, under an
/// f16 factor. 4.5 bits a weight.
struct IQ4_K {
  static constexpr int kBlockElems = 256, kSubElems = 16;
  static constexpr float kErrorBound = 0.15f;
  static constexpr float kMaxMagnitude = 1500 * kMaxF16;
  using Codes = Codebook4;
  using Scales = LinearScales<-32, 1, 64>;
  struct Block {
    uint16_t d;        ///< f16
    uint16_t shifted;  ///< bit j: the values of sub-block j
    SixBitScales scales;
    CodeBits<4, 16> q;
  };
  static_assert(sizeof(Block) == 144);

  static constexpr int scale(const Block& block, int j) { return block.scales.get(j); }
  static constexpr bool shifted(const Block& block, int j) { return block.shifted >> j & 1; }
  static constexpr float value(const Block& block, int j, int i) {
    return Codes::value(block.q.get(i), shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) { block.q.add_to(codes, 0); }
  static constexpr float at(const Block& block, int i) {
    return ik_weight<IQ4_K>(f16_to_f32(block.d), block, i);
  }
  static void decode(const Block& block, float* out) { decode_ik<IQ4_K>(f16_to_f32(block.d), block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ4_K>(x, importance);
    block = {};
    block.d = fit.d;
    block.shifted = fit.shifted_bits();
    for (int j = 0; j < 16; ++j) block.scales.set(j, fit.scale[j]);
    block.q.set(fit.code, 0);
  }
};

}  // namespace sw
