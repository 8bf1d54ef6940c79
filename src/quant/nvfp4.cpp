// SPDX-License-Identifier: MIT
#include "quant/nvfp4.h"

#include <algorithm>
#include <cmath>

#include "quant/fit.h"

namespace sw {
namespace {

constexpr int kSub = 16;
constexpr int kLargestCode = 0x7e;

/// The number of the float nearest to v, which is counted in half steps.
int nearest_float(float v) {
  const float magnitude = std::abs(v);
  int number = 0;
  for (int q = 0; q < 7; ++q) number += magnitude > 0.5f * (MXFP4::kDoubled[q] + MXFP4::kDoubled[q + 1]);
  return v < 0.0f && number > 0 ? number | 8 : number;
}

float error_of(uint8_t code, const float* x, const float* w) {
  const float step = NVFP4::half_scale(code), inv_step = inverse_scale(step);
  return squared_error<kSub>(x, w, step,
                             [&](int i) { return MXFP4::kDoubled[nearest_float(x[i] * inv_step)]; });
}

uint8_t best_scale(const float* x, const float* w) {
  constexpr int kBelow = 8, kAbove = 2;  // an octave down, where the largest weight is cut to half of it
  float largest = 0.0f;
  for (int i = 0; i < kSub; ++i) largest = std::max(largest, std::abs(x[i]));
  int fitting = 0;  // the smallest scale whose largest float reaches the largest weight
  while (fitting < kLargestCode && NVFP4::half_scale(static_cast<uint8_t>(fitting)) * 12.0f < largest)
    ++fitting;
  int best = std::min(fitting + kAbove, kLargestCode);
  float least = error_of(static_cast<uint8_t>(best), x, w);
  for (int code = best - 1; code >= std::max(fitting - kBelow, 0); --code) {
    const float error = error_of(static_cast<uint8_t>(code), x, w);
    if (error >= least) continue;
    least = error;
    best = code;
  }
  return static_cast<uint8_t>(best);
}

}  // namespace

void NVFP4::encode(const float* x, const float* importance, Block& block) {
  const FitTarget<kBlockElems> target(x, importance, kMaxMagnitude);
  for (int j = 0; j < 4; ++j) {
    const float* values = target.x + kSub * j;
    block.scales[j] = best_scale(values, target.w + kSub * j);
    const float inv_step = inverse_scale(half_scale(block.scales[j]));
    for (int i = 0; i < 8; ++i) {
      block.q[8 * j + i] = static_cast<uint8_t>(nearest_float(values[i] * inv_step) |
                                                nearest_float(values[i + 8] * inv_step) << 4);
    }
  }
}

}  // namespace sw
