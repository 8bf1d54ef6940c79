// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "base/error.h"

/// What kernels of every operation share: the warp's sum, the size of a grid.
namespace sw::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

/// The sum over the warp's lanes, in all of them. The order is fixed: the same bits every time.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}

/// Blocks for `n` items, `per_block` each. They go to grid.x: the other two end at 65535.
inline unsigned n_blocks(int64_t n, int64_t per_block) {
  const int64_t blocks = (n + per_block - 1) / per_block;
  SW_ASSERT(blocks > 0 && blocks <= INT32_MAX);
  return static_cast<unsigned>(blocks);
}

}  // namespace sw::cuda
