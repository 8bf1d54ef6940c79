// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/grid.h"
#include "quant/grid_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 weights: eights are points of a grid of 1024, with any signs; sub-blocks of 16 have a scale of 4 bits,
/// under one f16 factor: x = d (2 scale[j] + 1) / 8 * (8, 25 or 43). 2.5625 bits a weight.
struct IQ2_S {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 0.75f;
  static constexpr float kMaxMagnitude = 31 * 43 / 8.0f * kMaxF16;
  using Grid = Iq2SGrid;
  static constexpr int kSub = 16, kMaxScale = 15;
  static constexpr GridFlags kFlags = GridFlags::Free;
  static constexpr float factor(int scale) { return static_cast<float>(2 * scale + 1) * 0.125f; }
  struct Block {
    uint16_t d;       ///< f16
    uint8_t low[32];  ///< the low bits of points
    uint8_t signs[32];
    uint8_t high[8];    ///< bits 2 k and 2 k + 1 of byte b: the top bits of point 4 b + k
    uint8_t scales[8];  ///< scale 2 k in the low nibble of byte k, 2 k + 1 in the high one
  };
  static_assert(sizeof(Block) == 82);

  static constexpr float step(const Block& block, int j) {
    return f16_to_f32(block.d) * factor(block.scales[j / 2] >> j % 2 * 4 & 15);
  }
  static constexpr int point(const Block& block, int g) {
    return block.low[g] | (block.high[g / 4] >> g % 4 * 2 & 3) << 8;
  }
  static constexpr int flags(const Block& block, int o) { return block.signs[o]; }
  static constexpr float at(const Block& block, int i) { return grid_weight<IQ2_S>(block, i); }
  static void decode(const Block& block, float* out) { decode_grid<IQ2_S>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const GridFit<IQ2_S> fit(x, importance);
    block = {};
    block.d = fit.d;
    for (int g = 0; g < 32; ++g) {
      block.low[g] = static_cast<uint8_t>(fit.point[g]);
      block.high[g / 4] = static_cast<uint8_t>(block.high[g / 4] | fit.point[g] >> 8 << g % 4 * 2);
      block.signs[g] = fit.flags[g];
    }
    for (int k = 0; k < 8; ++k) {
      block.scales[k] = static_cast<uint8_t>(fit.scale[2 * k] | fit.scale[2 * k + 1] << 4);
    }
  }
};

}  // namespace sw
