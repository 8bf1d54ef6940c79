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

/// Steps from the least to the largest of 32 weights. q is rounded against the scale before it became f16, as
/// every writer of such formats does.
struct RangeFit {
  float least = 0, d = 0, inv = 0, limit = 0;
  int max_q = 0;

  RangeFit(const float* x, int max_q, float limit) : limit(limit), max_q(max_q) {
    float most = least = clean_weight(x[0], limit);
    for (int i = 1; i < 32; ++i) {
      least = std::min(least, clean_weight(x[i], limit));
      most = std::max(most, clean_weight(x[i], limit));
    }
    // So small that the steps of an f16 scale, max_q times over, would do more harm than zeros.
    if (std::max(std::abs(least), std::abs(most)) < static_cast<float>(max_q) * 0x1p-24f) least = most = 0.0f;
    d = (most - least) / static_cast<float>(max_q);
    inv = inverse_scale(d);
  }
  int quantize(float x) const {
    // NOLINTNEXTLINE(bugprone-incorrect-roundings): the reference's own rounding, for the same bytes
    return std::min(static_cast<int>((clean_weight(x, limit) - least) * inv + 0.5f), max_q);
  }
};

/// The value of largest magnitude (the first of equals) of 32 weights.
inline float extreme_weight(const float* x, float limit) {
  float extreme = 0.0f;
  for (int i = 0; i < 32; ++i) {
    const float v = clean_weight(x[i], limit);
    if (std::abs(v) > std::abs(extreme)) extreme = v;
  }
  return extreme;
}

/// The fifth bits of 32 weights, apart from their nibbles: bit i is weight i's.
struct FifthBits {
  uint8_t bytes[4];

  constexpr int get(int i) const { return (bytes[i / 8] >> i % 8 & 1) << 4; }
  void set(const uint8_t (&q)[32]) {
    for (int i = 0; i < 4; ++i) bytes[i] = 0;
    for (int i = 0; i < 32; ++i) bytes[i / 8] = static_cast<uint8_t>(bytes[i / 8] | (q[i] >> 4 << i % 8));
  }
};

}  // namespace sw
