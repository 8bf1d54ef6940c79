// SPDX-License-Identifier: MIT
#pragma once
#include "base/math.h"
#include "kernels/clamped_swiglu.h"

namespace sw::cuda {

/// silu(gate) * up or, with a limit above 0, clamped_swiglu.
__device__ __forceinline__ float gated(float gate, float up, float swiglu_limit) {
  return swiglu_limit > 0 ? clamped_swiglu(gate, up, swiglu_limit) : silu_exact(gate) * up;
}

}  // namespace sw::cuda
