// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"
#include "quant/trellis.h"

namespace sw {

/// Codes of 15 bits for groups of 4 weights (trellis.h), in 8 sub-blocks of 32 weights, each with a 7-bit
/// scale and a bit that chooses between two sets of values, under an f32 factor of the row. 4 bits a weight.
struct IQ4_KT {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 0.7f;
  static constexpr float kMaxMagnitude = RowF32::kMaxMagnitude;
  using RowHeader = RowF32;
  using Codes = Trellis<4, 15>;
  using Scales = LinearScales<-64, 1, 128>;
  struct Block {
    uint32_t heads[8];  ///< bit 0: chooses the values; bits 1 to 7: scale; then bits 12 to 14 of each group
    uint8_t q_low[64];  ///< bits 0 to 7 of each group
    uint8_t q_mid[32];  ///< bits 8 to 11: of groups g and g + 32 in byte g
  };
  static_assert(sizeof(Block) == 128);

  static constexpr int scale(const Block& block, int j) {
    return static_cast<int>(block.heads[j] >> 1 & 127);
  }
  static constexpr float value(const Block& block, int j, int i) {
    const int g = i / 4;
    const uint32_t head = block.heads[j], mid = block.q_mid[g % 32] >> g / 32 * 4 & 15;
    const uint32_t high = head >> (8 + g % 8 * 3) & 7;
    return Codes::value((block.q_low[g] | mid << 8 | high << 12) + (head & 1 ? Codes::kSecondSet : 0), i % 4);
  }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ4_KT>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ4_KT>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ4_KT>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ4_KT>(row.factor(), x, importance);
    block = {};
    for (int j = 0; j < 8; ++j) {
      block.heads[j] = static_cast<uint32_t>(fit.scale[j] << 1 | fit.shifted[j]);
    }
    for (int g = 0; g < 64; ++g) {
      const uint32_t code = fit.code[4 * g];
      uint8_t& mid = block.q_mid[g % 32];
      block.q_low[g] = static_cast<uint8_t>(code);
      mid = static_cast<uint8_t>(mid | (code >> 8 & 15) << g / 32 * 4);
      block.heads[g / 8] |= code >> 12 << (8 + g % 8 * 3);
    }
  }
};

}  // namespace sw
