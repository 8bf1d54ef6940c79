// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"

namespace sw {

/// Codes of 5 bits for pairs of weights, in 8 sub-blocks of 32 weights with a 6-bit scale each, under an f16
/// factor of the row. 2.6875 bits a weight.
struct IQ2_KL {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 0.6f;
  static constexpr float kMaxMagnitude = RowF16::kMaxMagnitude;
  using RowHeader = RowF16;
  using Codes = PairCodebook;
  using Scales = LinearScales<-32, 1, 64>;
  struct Block {
    uint16_t scales_high;   ///< bits 2 j and 2 j + 1: bits 4 and 5 of the scale of sub-block j
    uint8_t scales_low[4];  ///< bits 0 to 3: of sub-blocks j and j + 4 in byte j
    uint8_t
        q_low[64];  ///< byte 16 p + i: bits 0 to 3 of pair i of sub-block 2 p, of 2 p + 1 in the high nibble
    uint8_t q_high[16];  ///< byte i, bit j: bit 4 of pair i of sub-block j
  };
  static_assert(sizeof(Block) == 86);

  static constexpr int scale(const Block& block, int j) {
    return (block.scales_low[j % 4] >> j / 4 * 4 & 15) | (block.scales_high >> 2 * j & 3) << 4;
  }
  static constexpr float value(const Block& block, int j, int i) {
    const int pair = i % 32 / 2;
    const int low = block.q_low[j / 2 * 16 + pair] >> j % 2 * 4 & 15, high = block.q_high[pair] >> j & 1;
    return Codes::value(low | high << 4, i % 2);
  }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ2_KL>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ2_KL>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ2_KL>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ2_KL>(row.factor(), x, importance);
    block = {};
    for (int j = 0; j < 8; ++j) {
      uint8_t& low = block.scales_low[j % 4];
      low = static_cast<uint8_t>(low | (fit.scale[j] & 15) << j / 4 * 4);
      block.scales_high = static_cast<uint16_t>(block.scales_high | fit.scale[j] >> 4 << 2 * j);
      for (int pair = 0; pair < 16; ++pair) {
        const int code = fit.code[32 * j + 2 * pair];
        uint8_t &q_low = block.q_low[j / 2 * 16 + pair], &q_high = block.q_high[pair];
        q_low = static_cast<uint8_t>(q_low | (code & 15) << j % 2 * 4);
        q_high = static_cast<uint8_t>(q_high | code >> 4 << j);
      }
    }
  }
};

}  // namespace sw
