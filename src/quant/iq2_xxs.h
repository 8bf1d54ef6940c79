// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/grid.h"
#include "quant/grid_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 weights: eights are points of a grid of 256, with an even number of minus signs; sub-blocks of 32 have
/// a scale of 4 bits, under one f16 factor: x = d (2 scale[j] + 1) / 8 * (8, 25 or 43). 2.0625 bits a weight.
struct IQ2_XXS {
  static constexpr int kBlockElems = 256;
  /// Of eight weights with an odd number of minus signs one gets the wrong sign.
  static constexpr float kErrorBound = 2.0f;
  static constexpr float kMaxMagnitude = 31 * 43 / 8.0f * kMaxF16;
  using Grid = Iq2XxsGrid;
  static constexpr int kSub = 32, kMaxScale = 15;
  static constexpr GridFlags kFlags = GridFlags::Even;
  static constexpr float factor(int scale) { return static_cast<float>(2 * scale + 1) * 0.125f; }
  struct Block {
    uint16_t d;  ///< f16
    struct {
      uint8_t points[4];
      uint16_t low, high;  ///< one number: seven signs for each eight, then the scale
    } subs[8];
  };
  static_assert(sizeof(Block) == 66);

  static constexpr uint32_t signs_and_scale(const Block& block, int j) {
    return block.subs[j].low | static_cast<uint32_t>(block.subs[j].high) << 16;
  }
  static constexpr float step(const Block& block, int j) {
    return f16_to_f32(block.d) * factor(block.subs[j].high >> 12);
  }
  static constexpr int point(const Block& block, int g) { return block.subs[g / 4].points[g % 4]; }
  static constexpr int flags(const Block& block, int o) {
    return even_signs(static_cast<int>(signs_and_scale(block, o / 4) >> o % 4 * 7 & 127));
  }
  static constexpr float at(const Block& block, int i) { return grid_weight<IQ2_XXS>(block, i); }
  static void decode(const Block& block, float* out) { decode_grid<IQ2_XXS>(block, out); }

  static void encode(const float* x, const float* importance, Block& block) {
    const GridFit<IQ2_XXS> fit(x, importance);
    block.d = fit.d;
    for (int j = 0; j < 8; ++j) {
      uint32_t number = static_cast<uint32_t>(fit.scale[j]) << 28;
      for (int k = 0; k < 4; ++k) {
        block.subs[j].points[k] = static_cast<uint8_t>(fit.point[4 * j + k]);
        number |= static_cast<uint32_t>(fit.flags[4 * j + k] & 127) << 7 * k;
      }
      block.subs[j].low = static_cast<uint16_t>(number);
      block.subs[j].high = static_cast<uint16_t>(number >> 16);
    }
  }
};

}  // namespace sw
