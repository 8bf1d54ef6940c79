// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/grid.h"
#include "quant/grid_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 weights: eights are points of a grid of 2048; sub-blocks of 32 have a scale of 3 bits and a shift,
/// under one f16 factor: x = d (2 scale[j] + 1) (-1, 0 or 1, more or less 1/8). 1.5625 bits a weight.
struct IQ1_S {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 1.25f;
  static constexpr float kMaxMagnitude = 15 * 7 / 8.0f * kMaxF16;
  using Grid = Iq1Grid;
  static constexpr int kSub = 32, kMaxScale = 7;
  static constexpr GridFlags kFlags = GridFlags::PerSubBlock;
  static constexpr float factor(int scale) { return static_cast<float>(2 * scale + 1) * 0.125f; }
  struct Block {
    uint16_t d;       ///< f16
    uint8_t low[32];  ///< the low bits of points
    uint16_t
        subs[8];  ///< the top three bits of each of four points, then the scale, then the shift: 1 is down
  };
  static_assert(sizeof(Block) == 50);

  static constexpr float step(const Block& block, int j) {
    return f16_to_f32(block.d) * factor(block.subs[j] >> 12 & 7);
  }
  static constexpr int point(const Block& block, int g) {
    return block.low[g] | (block.subs[g / 4] >> g % 4 * 3 & 7) << 8;
  }
  static constexpr int flags(const Block& block, int o) { return block.subs[o / 4] >> 15 ? 255 : 0; }
  static constexpr float at(const Block& block, int i) { return grid_weight<IQ1_S>(block, i); }
  static void decode(const Block& block, float* out) { decode_grid<IQ1_S>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const GridFit<IQ1_S> fit(x, importance);
    block.d = fit.d;
    for (int j = 0; j < 8; ++j) {
      int sub = fit.scale[j] << 12 | (fit.flags[4 * j] & 1) << 15;
      for (int k = 0; k < 4; ++k) {
        block.low[4 * j + k] = static_cast<uint8_t>(fit.point[4 * j + k]);
        sub |= fit.point[4 * j + k] >> 8 << 3 * k;
      }
      block.subs[j] = static_cast<uint16_t>(sub);
    }
  }
};

}  // namespace sw
