// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 2 bits in 16 sub-blocks of 16, each with a 4-bit scale and a bit that shifts its values, under an
/// f16 factor. 2.375 bits a weight.
struct IQ2_K {
  static constexpr int kBlockElems = 256, kSubElems = 16;
  static constexpr float kErrorBound = 0.6f;
  static constexpr float kMaxMagnitude = 100 * kMaxF16;
  using Codes = Codebook2;
  using Scales = LinearScales<-8, 1, 16>;
  struct Block {
    uint16_t d;         ///< f16
    uint16_t shifted;   ///< bit j: the values of sub-block j
    uint8_t scales[8];  ///< a nibble each
    CodeBits<2> q;
  };
  static_assert(sizeof(Block) == 76);

  static constexpr int scale(const Block& block, int j) { return block.scales[j / 2] >> j % 2 * 4 & 15; }
  static constexpr bool shifted(const Block& block, int j) { return block.shifted >> j & 1; }
  static constexpr float value(const Block& block, int j, int i) {
    return Codes::value(block.q.get(i), shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) { block.q.add_to(codes, 0); }
  static constexpr float at(const Block& block, int i) {
    return ik_weight<IQ2_K>(f16_to_f32(block.d), block, i);
  }
  static void decode(const Block& block, float* out) { decode_ik<IQ2_K>(f16_to_f32(block.d), block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ2_K>(x, importance);
    block = {};
    block.d = fit.d;
    block.shifted = fit.shifted_bits();
    for (int j = 0; j < 16; ++j) {
      uint8_t& pair = block.scales[j / 2];
      pair = static_cast<uint8_t>(pair | fit.scale[j] << j % 2 * 4);
    }
    block.q.set(fit.code, 0);
  }
};

}  // namespace sw
