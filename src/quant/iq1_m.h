// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/grid.h"
#include "quant/grid_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 weights: eights are points of a grid of 2048 with a shift each; sub-blocks of 16 have a scale of 3
/// bits, under one f16 factor, of which each number of four scales holds four bits: x = d (2 scale[j] + 1)
/// (-1, 0 or 1, more or less 1/8). 1.75 bits a weight.
struct IQ1_M {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 1.25f;
  static constexpr float kMaxMagnitude = 15 * 7 / 8.0f * kMaxF16;
  using Grid = Iq1Grid;
  static constexpr int kSub = 16, kMaxScale = 7;
  static constexpr GridFlags kFlags = GridFlags::PerEight;
  static constexpr float factor(int scale) { return static_cast<float>(2 * scale + 1) * 0.125f; }
  struct Block {
    uint8_t low[32];     ///< the low bits of points
    uint8_t high[16];    ///< a nibble for each point: its top three bits, then the shift: 1 is down
    uint16_t scales[4];  ///< four scales each, then four bits of d, the lowest first
  };
  static_assert(sizeof(Block) == 56);

  static constexpr uint16_t factor_bits(const Block& block) {
    int bits = 0;
    for (int k = 0; k < 4; ++k) bits |= block.scales[k] >> 12 << 4 * k;
    return static_cast<uint16_t>(bits);
  }
  static constexpr void set_factor_bits(Block& block, uint16_t bits) {
    for (int k = 0; k < 4; ++k) {
      block.scales[k] = static_cast<uint16_t>((block.scales[k] & 0xfff) | (bits >> 4 * k & 15) << 12);
    }
  }
  static constexpr float step(const Block& block, int j) {
    return f16_to_f32(factor_bits(block)) * factor(block.scales[j / 4] >> j % 4 * 3 & 7);
  }
  static constexpr int nibble(const Block& block, int g) { return block.high[g / 2] >> g % 2 * 4 & 15; }
  static constexpr int point(const Block& block, int g) { return block.low[g] | (nibble(block, g) & 7) << 8; }
  static constexpr int flags(const Block& block, int o) { return nibble(block, o) >> 3 ? 255 : 0; }
  static constexpr float at(const Block& block, int i) { return grid_weight<IQ1_M>(block, i); }
  static void decode(const Block& block, float* out) { decode_grid<IQ1_M>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const GridFit<IQ1_M> fit(x, importance);
    block = {};
    for (int g = 0; g < 32; ++g) {
      const int nibble = fit.point[g] >> 8 | (fit.flags[g] & 1) << 3;
      block.low[g] = static_cast<uint8_t>(fit.point[g]);
      block.high[g / 2] = static_cast<uint8_t>(block.high[g / 2] | nibble << g % 2 * 4);
    }
    for (int j = 0; j < 16; ++j) {
      block.scales[j / 4] = static_cast<uint16_t>(block.scales[j / 4] | fit.scale[j] << j % 4 * 3);
    }
    set_factor_bits(block, fit.d);
  }
};

}  // namespace sw
