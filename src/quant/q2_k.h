// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/k_fit.h"
#include "quant/scale.h"

namespace sw {

/// 256 two-bit weights in 16 sub-blocks of 16, each with a scale and a minimum of 4 bits, under two f16
/// factors: x = d scale[j] q - dmin min[j]. 2.625 bits a weight.
struct Q2_K {
  static constexpr int kBlockElems = 256;
  static constexpr float kErrorBound = 0.5f;
  using Fit = AffineFit<16, 15>;
  static constexpr float kMaxMagnitude = Fit::kMaxMagnitude;
  struct Block {
    uint8_t scales[16];  ///< scale in the low nibble, minimum in the high one
    uint8_t q[64];     ///< weights in halves of 128: byte 32 h + i holds weights 128 h + i + {0, 32, 64, 96}
    uint16_t d, dmin;  ///< f16
  };
  static_assert(sizeof(Block) == 84);

  /// Products are exact in f32, so that it does not matter whether a compiler fuses one with the difference.
  struct Step {
    float step, offset;

    constexpr Step(const Block& block, int j)
        : step(f16_to_f32(block.d) * static_cast<float>(block.scales[j] & 15)),
          offset(f16_to_f32(block.dmin) * static_cast<float>(block.scales[j] >> 4)) {}
    constexpr float value(int q) const { return step * static_cast<float>(q) - offset; }
  };
  static constexpr int quant(const Block& block, int i) {
    return block.q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
  }
  static constexpr float at(const Block& block, int i) { return Step(block, i / 16).value(quant(block, i)); }
  static void decode(const Block& block, float* out) {
    for (int j = 0; j < 16; ++j) {
      const Step step(block, j);
      const int byte = j / 8 * 32 + j % 2 * 16, shift = j % 8 / 2 * 2;
      for (int i = 0; i < 16; ++i) out[16 * j + i] = step.value(block.q[byte + i] >> shift & 3);
    }
  }

  static void encode(const float* x, const float* importance, Block& block) {
    const Fit fit(x, importance, 3);
    block = {};
    block.d = fit.d;
    block.dmin = fit.dmin;
    for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<uint8_t>(fit.scale[j] | fit.min[j] << 4);
    for (int i = 0; i < 256; ++i) {
      uint8_t& byte = block.q[i / 128 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | fit.q[i] << i % 128 / 32 * 2);
    }
  }
};

}  // namespace sw
