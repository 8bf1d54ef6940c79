// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/scale.h"

namespace sw {

/// 256 weights as x ~ d (q - 1) with q in {0, 1, 2}. The largest magnitude becomes the scale and importance
/// does not matter: these formats are for weights that are ternary already. q is rounded (half away from
/// zero) against the scale before it became f16, as every writer of such formats does.
struct TernaryFit {
  static constexpr float kErrorBound = 0.5f + 0x1p-11f;

  explicit TernaryFit(const float* x) {
    float largest = 0.0f;
    for (int i = 0; i < 256; ++i) largest = std::max(largest, std::abs(clean_weight(x[i], kMaxF16)));
    // So small that an f16 scale would do more harm than zeros.
    if (largest < 0x1p-24f) largest = 0.0f;
    const float inv = inverse_scale(largest);
    d = scale_bits(largest);
    for (int i = 0; i < 256; ++i) {
      q[i] = static_cast<uint8_t>(std::round(clean_weight(x[i], kMaxF16) * inv) + 1.0f);
    }
  }

  uint16_t d = 0;  ///< f16
  uint8_t q[256] = {};
};

}  // namespace sw
