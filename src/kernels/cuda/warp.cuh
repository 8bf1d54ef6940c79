// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "base/error.h"

/// What kernels of every operation share: sums and maxima over lanes, products of quads, the size of a grid.
namespace sw::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

/// The sum over the `kLanes` neighbouring lanes, in all of them. The order is fixed: the same bits every
/// time.
template <int kLanes = kWarp, class T>
__device__ __forceinline__ T lane_sum(T x) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}
template <int kLanes = kWarp>
__device__ __forceinline__ float lane_max(float x) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, distance));
  return x;
}

/// sum + a . b, f32 from the first to the last.
__device__ __forceinline__ float add_dot(float sum, float4 a, float4 b) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

/// Blocks for `n` items, `per_block` each. They go to grid.x: the other two end at 65535.
inline unsigned n_blocks(int64_t n, int64_t per_block) {
  const int64_t blocks = (n + per_block - 1) / per_block;
  SW_ASSERT(blocks > 0 && blocks <= INT32_MAX);
  return static_cast<unsigned>(blocks);
}

}  // namespace sw::cuda
