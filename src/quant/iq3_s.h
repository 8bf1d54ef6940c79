// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/grid.h"
#include "quant/grid_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 weights: fours are points of a grid of 512, with any signs; sub-blocks of 32 have a scale of 4 bits,
/// under one f16 factor: x = d (2 scale[j] + 1) * (1, 3, ... 13 or 15). 3.4375 bits a weight.
struct IQ3_S {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 0.5f;
  static constexpr float kMaxMagnitude = 31.0f * 15 * kMaxF16;
  using Grid = Iq3SGrid;
  static constexpr int kSub = 32, kMaxScale = 15;
  static constexpr GridFlags kFlags = GridFlags::Free;
  static constexpr float factor(int scale) { return static_cast<float>(2 * scale + 1); }
  struct Block {
    uint16_t d;       ///< f16
    uint8_t low[64];  ///< the low bits of points
    uint8_t high[8];  ///< bit k of byte b: the top bit of point 8 b + k
    uint8_t signs[32];
    uint8_t scales[4];  ///< scale 2 k in the low nibble of byte k, 2 k + 1 in the high one
  };
  static_assert(sizeof(Block) == 110);

  static constexpr float step(const Block& block, int j) {
    return f16_to_f32(block.d) * factor(block.scales[j / 2] >> j % 2 * 4 & 15);
  }
  static constexpr int point(const Block& block, int g) {
    return block.low[g] | (block.high[g / 8] >> g % 8 & 1) << 8;
  }
  static constexpr int flags(const Block& block, int o) { return block.signs[o]; }
  static constexpr float at(const Block& block, int i) { return grid_weight<IQ3_S>(block, i); }
  static void decode(const Block& block, float* out) { decode_grid<IQ3_S>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const GridFit<IQ3_S> fit(x, importance);
    block = {};
    block.d = fit.d;
    for (int g = 0; g < 64; ++g) {
      block.low[g] = static_cast<uint8_t>(fit.point[g]);
      block.high[g / 8] = static_cast<uint8_t>(block.high[g / 8] | fit.point[g] >> 8 << g % 8);
    }
    for (int o = 0; o < 32; ++o) block.signs[o] = fit.flags[o];
    for (int k = 0; k < 4; ++k) {
      block.scales[k] = static_cast<uint8_t>(fit.scale[2 * k] | fit.scale[2 * k + 1] << 4);
    }
  }
};

}  // namespace sw
