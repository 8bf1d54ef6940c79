// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/grid.h"
#include "quant/grid_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 weights: eights are points of a grid of 512, with an even number of minus signs; sub-blocks of 16 have
/// a scale of 4 bits, under one f16 factor: x = d (2 scale[j] + 1) / 8 * (8, 25 or 43). 2.3125 bits a weight.
struct IQ2_XS {
  static constexpr int kBlockElems = 256;
  /// Of eight weights with an odd number of minus signs one gets the wrong sign.
  static constexpr float kErrorBound = 2.0f;
  static constexpr float kMaxMagnitude = 31 * 43 / 8.0f * kMaxF16;
  using Grid = Iq2XsGrid;
  static constexpr int kSub = 16, kMaxScale = 15;
  static constexpr GridFlags kFlags = GridFlags::Even;
  static constexpr float factor(int scale) { return static_cast<float>(2 * scale + 1) * 0.125f; }
  struct Block {
    uint16_t d;         ///< f16
    uint16_t q[32];     ///< 9 bits of point, 7 of signs
    uint8_t scales[8];  ///< scale 2 k in the low nibble of byte k, 2 k + 1 in the high one
  };
  static_assert(sizeof(Block) == 74);

  static constexpr float step(const Block& block, int j) {
    return f16_to_f32(block.d) * factor(block.scales[j / 2] >> j % 2 * 4 & 15);
  }
  static constexpr int point(const Block& block, int g) { return block.q[g] & 511; }
  static constexpr int flags(const Block& block, int o) { return even_signs(block.q[o] >> 9); }
  static constexpr float at(const Block& block, int i) { return grid_weight<IQ2_XS>(block, i); }
  static void decode(const Block& block, float* out) { decode_grid<IQ2_XS>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const GridFit<IQ2_XS> fit(x, importance);
    block.d = fit.d;
    for (int g = 0; g < 32; ++g) {
      block.q[g] = static_cast<uint16_t>(fit.point[g] | (fit.flags[g] & 127) << 9);
    }
    for (int k = 0; k < 8; ++k) {
      block.scales[k] = static_cast<uint8_t>(fit.scale[2 * k] | fit.scale[2 * k + 1] << 4);
    }
  }
};

}  // namespace sw
