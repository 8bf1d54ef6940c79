// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 3 bits in 8 sub-blocks of 32, each with a 5-bit scale and a bit that shifts its values, under an
/// f16 factor of the row. 3.1875 bits a weight.
struct IQ3_KS {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 0.35f;
  static constexpr float kMaxMagnitude = RowF16::kMaxMagnitude;
  using RowHeader = RowF16;
  using Codes = Codebook3;
  using Scales = LinearScales<-16, 1, 32>;
  struct Block {
    uint16_t extra;      ///< bit j: bit 4 of the scale of sub-block j; bit 8 + j: shifts its values
    uint8_t scales[4];   ///< bits 0 to 3: of sub-blocks j and j + 4 in byte j
    CodeBits<2> q_low;   ///< bits 0 and 1 of the codes
    CodeBits<1> q_high;  ///< bit 2
  };
  static_assert(sizeof(Block) == 102);

  static constexpr int scale(const Block& block, int j) {
    return (block.scales[j % 4] >> j / 4 * 4 & 15) | (block.extra >> j & 1) << 4;
  }
  static constexpr bool shifted(const Block& block, int j) { return block.extra >> (8 + j) & 1; }
  static constexpr float value(const Block& block, int j, int i) {
    return Codes::value(block.q_low.get(i) | block.q_high.get(i) << 2, shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) {
    block.q_low.add_to(codes, 0);
    block.q_high.add_to(codes, 2);
  }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ3_KS>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ3_KS>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ3_KS>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ3_KS>(row.factor(), x, importance);
    block = {};
    for (int j = 0; j < 8; ++j) {
      uint8_t& pair = block.scales[j % 4];
      pair = static_cast<uint8_t>(pair | (fit.scale[j] & 15) << j / 4 * 4);
      block.extra = static_cast<uint16_t>(block.extra | fit.scale[j] >> 4 << j | fit.shifted[j] << (8 + j));
    }
    block.q_low.set(fit.code, 0);
    block.q_high.set(fit.code, 2);
  }
};

}  // namespace sw
