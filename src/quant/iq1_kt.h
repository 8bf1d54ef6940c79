// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"
#include "quant/trellis.h"

namespace sw {

/// Codes of 13 bits for groups of 8 weights (trellis.h), in 8 sub-blocks of 32 weights with a 4-bit scale
/// each, under an f32 factor of the row. 1.75 bits a weight.
struct IQ1_KT {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 1.3f;
  static constexpr float kMaxMagnitude = RowF32::kMaxMagnitude;
  using RowHeader = RowF32;
  using Codes = Trellis<8, 13>;
  using Scales = CodebookScales;
  struct Block {
    uint8_t scales[8];  ///< scale in the low nibble; bit 4 + g: bit 12 of group g of the sub-block
    uint8_t q_low[32];  ///< bits 0 to 7 of each group
    uint8_t q_mid[16];  ///< bits 8 to 11: of groups g and g + 16 in byte g
  };
  static_assert(sizeof(Block) == 56);

  static constexpr int scale(const Block& block, int j) { return block.scales[j] & 15; }
  static constexpr float value(const Block& block, int j, int i) {
    const int g = i / 8;
    const int mid = block.q_mid[g % 16] >> g / 16 * 4 & 15, high = block.scales[j] >> (4 + g % 4) & 1;
    return Codes::value(static_cast<uint32_t>(block.q_low[g] | mid << 8 | high << 12), i % 8);
  }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ1_KT>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ1_KT>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ1_KT>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ1_KT>(row.factor(), x, importance);
    block = {};
    for (int j = 0; j < 8; ++j) block.scales[j] = fit.scale[j];
    for (int g = 0; g < 32; ++g) {
      const int code = fit.code[8 * g];
      uint8_t &mid = block.q_mid[g % 16], &high = block.scales[g / 4];
      block.q_low[g] = static_cast<uint8_t>(code);
      mid = static_cast<uint8_t>(mid | (code >> 8 & 15) << g / 16 * 4);
      high = static_cast<uint8_t>(high | code >> 12 << (4 + g % 4));
    }
  }
};

}  // namespace sw
