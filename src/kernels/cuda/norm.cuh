// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/warp.cuh"

/// The sum of a row's squares, by two warps: thread t has every 64th quad from its t-th on. The order is that
/// of 256 partial sums, each of every 256th value, which eight warps add by lane_sum's butterfly: four of the
/// 256 meet in one thread, so that values are read by 16 bytes and the bits stay the same.
namespace sw::cuda {

inline constexpr int kNormThreads = 64;
/// Values from one of a thread's quads to its next.
inline constexpr int kNormStep = 4 * kNormThreads;
/// Shared memory of a row's sum.
inline constexpr int kNormParts = kNormThreads / 8;

__device__ __forceinline__ void add_squares(float4& sums, float4 x) {
  sums.x = fmaf(x.x, x.x, sums.x);
  sums.y = fmaf(x.y, x.y, sums.y);
  sums.z = fmaf(x.z, x.z, sums.z);
  sums.w = fmaf(x.w, x.w, sums.w);
}

/// A row's sums of `kNormThreads` threads, eight and eight: `parts` of shared memory is whole after a
/// barrier.
__device__ __forceinline__ void share_squares(float4 sums, int thread, float (&parts)[kNormParts]) {
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2) {
    sums.x += __shfl_xor_sync(kAllLanes, sums.x, distance);
    sums.y += __shfl_xor_sync(kAllLanes, sums.y, distance);
    sums.z += __shfl_xor_sync(kAllLanes, sums.z, distance);
    sums.w += __shfl_xor_sync(kAllLanes, sums.w, distance);
  }
  if (thread % 8 == 0) parts[thread / 8] = (sums.x + sums.z) + (sums.y + sums.w);
}

/// What a row of n values is multiplied by.
__device__ __forceinline__ float scale_of(const float (&parts)[kNormParts], int n, float eps) {
  float total = 0.0f;
#pragma unroll
  for (const float part : parts) total += part;
  return 1.0f / sqrtf(total / static_cast<float>(n) + eps);
}

__device__ __forceinline__ float4 normed_quad(float4 x, float scale, float4 weight) {
  return {x.x * scale * weight.x, x.y * scale * weight.y, x.z * scale * weight.z, x.w * scale * weight.w};
}

}  // namespace sw::cuda
