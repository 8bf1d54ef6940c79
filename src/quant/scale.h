// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/half.h"

/// What the block formats share: how they treat values and scales that they cannot hold.
namespace sw {

constexpr float kMaxF16 = 65504.0f;

/// A weight as a block format sees it: NaN counts as 0, the infinities and everything beyond `limit` as
/// +-limit (the format's kMaxMagnitude).
inline float clean_weight(float x, float limit) { return x == x ? std::clamp(x, -limit, limit) : 0.0f; }

/// f16 bits of a scale; one that rounds above the largest f16 becomes that, never infinite.
inline uint16_t scale_bits(float scale) { return f32_to_f16(std::clamp(scale, -kMaxF16, kMaxF16)); }

/// 1 / scale, or 0 where that would be infinite.
inline float inverse_scale(float scale) {
  return std::abs(scale) >= std::numeric_limits<float>::min() ? 1.0f / scale : 0.0f;
}

}  // namespace sw
