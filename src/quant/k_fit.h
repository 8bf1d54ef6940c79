// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/scale.h"

/// The searches behind the k formats: which scales reproduce 256 weights with the least squared error,
/// each weight's error counted `importance` times (null: once). Scalar arithmetic in a fixed order: the
/// same result on every machine. Weights outside +-kMaxMagnitude and NaN are cleaned (scale.h).
/// Importance only counts relative to its mean over the 256; where that mean is 0 it is ignored, and a
/// weight of importance 0 still counts a millionth, so that it stays near its value.
namespace sw {

/// 8 sub-blocks of 32, x[i] ~ d scale[j] q[i] - dmin min[j] with q in [0, max_q].
struct AffineFit {
  static constexpr float kMaxMagnitude = 63 * kMaxF16;
  AffineFit(const float* x, const float* importance, int max_q);

  uint16_t d = 0, dmin = 0;            ///< f16
  uint8_t scale[8] = {}, min[8] = {};  ///< below 64
  uint8_t q[256] = {};
};

/// 16 sub-blocks of 16, x[i] ~ d scale[j] q[i] with q in [-32, 31].
struct SymmetricFit {
  static constexpr float kMaxMagnitude = 31.0f * 127 * kMaxF16;
  SymmetricFit(const float* x, const float* importance);

  uint16_t d = 0;  ///< f16
  int8_t scale[16] = {};
  int8_t q[256] = {};
};

}  // namespace sw
