// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 4 bits in 8 sub-blocks of 32, each with an odd 7-bit scale and a bit that shifts its values,
/// under an f32 factor of the row. 4.25 bits a weight.
struct IQ4_KS {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 0.15f;
  static constexpr float kMaxMagnitude = RowF32::kMaxMagnitude;
  using RowHeader = RowF32;
  using Codes = Codebook4;
  using Scales = LinearScales<-127, 2, 128>;
  struct Block {
    uint8_t scales[8];  ///< bit 0 shifts a sub-block's values
    CodeBits<4, 16> q;
  };
  static_assert(sizeof(Block) == 136);

  static constexpr int scale(const Block& block, int j) { return block.scales[j] >> 1; }
  static constexpr bool shifted(const Block& block, int j) { return block.scales[j] & 1; }
  static constexpr float value(const Block& block, int j, int i) {
    return Codes::value(block.q.get(i), shifted(block, j));
  }
  static void codes(const Block& block, uint8_t (&codes)[256]) { block.q.add_to(codes, 0); }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ4_KS>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ4_KS>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ4_KS>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ4_KS>(row.factor(), x, importance);
    block = {};
    for (int j = 0; j < 8; ++j) block.scales[j] = static_cast<uint8_t>(fit.scale[j] << 1 | fit.shifted[j]);
    block.q.set(fit.code, 0);
  }
};

}  // namespace sw
