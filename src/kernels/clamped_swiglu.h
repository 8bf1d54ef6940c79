// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/math.h"

namespace sw {

/// (up + 1) * gate * sigmoid(1.702 gate), the gate clamped from above and up on both sides. constexpr, so
/// that nvcc compiles it for a GPU too.
constexpr float clamped_swiglu(float gate, float up, float limit) {
  constexpr float kSteepness = 1.702f;
  const float g = std::min(gate, limit), u = std::max(std::min(up, limit), -limit);
  return (u + 1) * g * sigmoid_exact(kSteepness * g);
}

/// gate[i] = clamped_swiglu(gate[i], up[i])
inline void clamped_swiglu(float* gate, const float* up, float limit, int64_t n) {
  for (int64_t i = 0; i < n; ++i) gate[i] = clamped_swiglu(gate[i], up[i], limit);
}

}  // namespace sw
