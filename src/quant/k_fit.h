// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/scale.h"

/// The searches behind the k formats: which scales reproduce 256 weights with the least squared error,
/// each weight's error counted `importance` times (null: once); see FitTarget in fit.h for what is made of
/// odd weights and importances.
namespace sw {

/// kSubs sub-blocks, x[i] ~ d scale[j] q[i] - dmin min[j] with q in [0, max_q].
template <int kSubs, int kMaxScale>
struct AffineFit {
  static constexpr float kMaxMagnitude = kMaxScale * kMaxF16;
  AffineFit(const float* x, const float* importance, int max_q);

  uint16_t d = 0, dmin = 0;                    ///< f16
  uint8_t scale[kSubs] = {}, min[kSubs] = {};  ///< at most kMaxScale
  uint8_t q[256] = {};
};

/// 16 sub-blocks of 16, x[i] ~ d scale[j] q[i] with q in [-kHalf, kHalf - 1], and scales likewise.
template <int kHalf, int kHalfScale>
struct SymmetricFit {
  static constexpr float kMaxMagnitude = (kHalf - 1.0f) * (kHalfScale - 1) * kMaxF16;
  SymmetricFit(const float* x, const float* importance);

  uint16_t d = 0;  ///< f16
  int8_t scale[16] = {};
  int8_t q[256] = {};
};

}  // namespace sw
