// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/ik_blocks.h"
#include "quant/ik_fit.h"
#include "quant/trellis.h"

namespace sw {

/// Codes of 16 bits for the magnitudes of groups of 8 weights (trellis.h) and a sign for each, in 8
/// sub-blocks of 32 weights with a 4-bit scale each, under an f32 factor of the row. 3.125 bits a weight.
struct IQ3_KT {
  static constexpr int kBlockElems = 256, kSubElems = 32;
  static constexpr float kErrorBound = 0.5f;
  static constexpr float kMaxMagnitude = RowF32::kMaxMagnitude;
  using RowHeader = RowF32;
  using Codes = Trellis<8, 16>;
  using Scales = LinearScales<0, 1, 16>;
  struct Block {
    uint8_t scales[4];     ///< of sub-blocks j and j + 4 in byte j
    uint16_t q[32];        ///< of each group
    CodeBits<1> negative;  ///< of each weight
  };
  static_assert(sizeof(Block) == 100);

  static constexpr int scale(const Block& block, int j) { return block.scales[j % 4] >> j / 4 * 4 & 15; }
  static constexpr float value(const Block& block, int /*j*/, int i) {
    const auto sign = static_cast<float>(1 - 2 * block.negative.get(i));
    return sign * Codes::magnitude(block.q[i / 8], i % 8);
  }
  static constexpr float at(const RowHeader& row, const Block& block, int i) {
    return ik_weight<IQ3_KT>(row.factor(), block, i);
  }
  static void decode(const RowHeader& row, const Block& block, float* out) {
    decode_ik<IQ3_KT>(row.factor(), block, out);
  }

  static RowHeader header_of(const float* x, int64_t n_elems, const float* importance) {
    return RowHeader::of(fit_ik_row<IQ3_KT>(x, n_elems, importance));
  }
  static void encode(const RowHeader& row, const float* x, const float* importance, Block& block) {
    const IkFit fit = fit_ik_block<IQ3_KT>(row.factor(), x, importance);
    block = {};
    for (int j = 0; j < 8; ++j) {
      uint8_t& pair = block.scales[j % 4];
      pair = static_cast<uint8_t>(pair | fit.scale[j] << j / 4 * 4);
    }
    for (int g = 0; g < 32; ++g) block.q[g] = fit.code[8 * g];
    uint16_t negative[256];
    for (int i = 0; i < 256; ++i) negative[i] = x[i] < 0.0f ? 1 : 0;
    block.negative.set(negative, 0);
  }
};

}  // namespace sw
