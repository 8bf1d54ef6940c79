// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/math.h"

namespace sw {

/// gate[i] = (up[i] + 1) * gate[i] * sigmoid(1.702 gate[i]), the gate clamped from above and up on both
/// sides.
inline void clamped_swiglu(float* gate, const float* up, float limit, int64_t n) {
  constexpr float kSteepness = 1.702f;
  for (int64_t i = 0; i < n; ++i) {
    const float g = std::min(gate[i], limit), u = std::clamp(up[i], -limit, limit);
    gate[i] = (u + 1) * g * sigmoid_exact(kSteepness * g);
  }
}

}  // namespace sw
