// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 5 bits in 8 sub-blocks of 32, each with an odd 7-bit scale and a bit that shifts its values,
/// under an f32 factor of the row. 5.25 bits a weight.
struct IQ5_KS {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 0.08f;
  static constexpr float kMaxMagnitude = RowF32::kMaxMagnitude;
  using RowHeader = RowF32;
  using Codes = Codebook5;
  using Scales = LinearScales<-127, 2, 128>;
  struct Block {
    uint8_t scales[8];   ///< bit 0 shifts a sub-block's values
    CodeBits<4> q_low;   ///< bits 0 to 3 of the codes
    CodeBits<1> q_high;  ///< bit 4
  };
  static_assert(sizeof(Block) == 168);

  static constexpr int scale(const Block& block, int j) { return block.scales[j] >> 1; }
  static constexpr bool shifted(const Block& block, int j) { return block.scales[j] & 1; }
  static constexpr float value(const Block& block, int j, int i) {
    return Codes::value(block.q_low.get(i) | block.q_high.get(i) << 4, shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) {
    block.q_low.add_to(codes, 0);
    block.q_high.add_to(codes, 4);
  }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ5_KS>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ5_KS>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ5_KS>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ5_KS>(row.factor(), x, importance);
    block = {};
    for (int j = 0; j < 8; ++j) block.scales[j] = static_cast<uint8_t>(fit.scale[j] << 1 | fit.shifted[j]);
    block.q_low.set(fit.code, 0);
    block.q_high.set(fit.code, 4);
  }
};

}  // namespace sw
