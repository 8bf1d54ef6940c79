// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "quant/scale.h"

namespace sw {

/// OCP microscaling: 32 floats of 4 bits (sign, two bits of exponent, one of mantissa) and a power of two
/// for all. 4.25 bits a weight.
struct MXFP4 {
  static constexpr int kBlockElems = 32;
  /// A largest value just below a power of two is cut down to three quarters of it.
  static constexpr float kErrorBound = 0.25f;
  static constexpr float kMaxMagnitude = std::numeric_limits<float>::max();
  struct Block {
    uint8_t e;      ///< the power of two, plus 127
    uint8_t q[16];  ///< weight i in the low nibble of byte i, weight i + 16 in the high one
  };
  static_assert(sizeof(Block) == 17);

  /// Twice the floats, so that they are integers.
  static constexpr int8_t kDoubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  /// The same without a table, for code that runs on GPUs too.
  static constexpr int doubled(int q) {
    const int magnitude = q & 6 ? (2 | (q & 1)) << ((q >> 1 & 3) - 1) : q & 1;
    return q & 8 ? -magnitude : magnitude;
  }
  /// Half the power of two, exactly: 2^(e - 128).
  static constexpr float half_scale(uint8_t e) {
    const uint32_t subnormal = 0x00200000u << (e & 1);
    return std::bit_cast<float>(e > 1 ? (e - 1u) << 23 : subnormal);
  }

  static constexpr float at(const Block& block, int i) {
    return half_scale(block.e) * static_cast<float>(doubled(block.q[i % 16] >> i / 16 * 4 & 15));
  }

  /// The largest float, 6, goes where the largest weight's power of two is; importance does not matter.
  static void encode(const float* x, const float* /*importance*/, Block& block) {
    const float largest = std::abs(extreme_weight(x, kMaxMagnitude));
    block.e = largest > 0 ? static_cast<uint8_t>(std::max(std::ilogb(largest) - 2 + 127, 0)) : 0;
    const float step = half_scale(block.e);
    const auto nearest = [step](float v) {
      v = clean_weight(v, kMaxMagnitude);
      int best = 0;
      for (int q = 1; q < 16; ++q) {
        if (std::abs(step * kDoubled[q] - v) < std::abs(step * kDoubled[best] - v)) best = q;
      }
      return best;
    };
    for (int i = 0; i < 16; ++i) block.q[i] = static_cast<uint8_t>(nearest(x[i]) | nearest(x[i + 16]) << 4);
  }
};

static_assert([] {
  for (int q = 0; q < 16; ++q) {
    if (MXFP4::doubled(q) != MXFP4::kDoubled[q]) return false;
  }
  return true;
}());

}  // namespace sw
