// SPDX-License-Identifier: MIT
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample/argmax.h"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kArgmaxThreads = 256, kArgmaxWarps = kArgmaxThreads / kWarp;
constexpr int kLogitsPerThread = 16;  ///< on their way at once
constexpr int kLogitsPerBlock = kArgmaxThreads * kLogitsPerThread;
constexpr uint32_t kNotANumber = 0xffffffffu;

static_assert(3 * kMostArgmaxRows <= Queue::kCounters);

/// Orders as the logits do, both zeros alike; 0 for -inf; above all others for NaN and +inf.
__device__ __forceinline__ uint32_t key_of(float logit) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  if (!(logit < kInf)) return kNotANumber;
  if (logit == -kInf) return 0;
  const uint32_t bits = __float_as_uint(logit == 0.0f ? 0.0f : logit);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/// The better one of two: by key, then the lower id.
__device__ __forceinline__ uint64_t entry_of(uint32_t key, int id) {
  return uint64_t{key} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

__device__ __forceinline__ uint64_t lane_best(uint64_t entry) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    entry = max(entry, __shfl_xor_sync(kAllLanes, entry, distance));
  return entry;
}

/// Many blocks per row; the last one to end writes the row's result. `best` and `n_done` are zero before and
/// after.
__global__ void __launch_bounds__(kArgmaxThreads)
    argmax_kernel(const float* logits, int64_t stride, int n_vocab, int n_block, unsigned long long* best,
                  uint32_t* n_done, int32_t* out) {
  wait_for_previous();
  let_next_start();
  const int64_t r = blockIdx.x / n_block;
  const int begin = static_cast<int>(blockIdx.x % n_block) * kLogitsPerBlock + static_cast<int>(threadIdx.x);
  const float* row = logits + r * stride;
  float x[kLogitsPerThread];
#pragma unroll
  for (int i = 0; i < kLogitsPerThread; ++i) x[i] = row[min(begin + i * kArgmaxThreads, n_vocab - 1)];
  uint64_t entry = 0;
#pragma unroll
  for (int i = 0; i < kLogitsPerThread; ++i)
    entry = max(entry, entry_of(key_of(x[i]), min(begin + i * kArgmaxThreads, n_vocab - 1)));
  __shared__ uint64_t of_warp[kArgmaxWarps];
  entry = lane_best(entry);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = entry;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (const uint64_t other : of_warp) entry = max(entry, other);
  atomicMax(best + r, entry);
  __threadfence();
  if (atomicAdd(n_done + r, 1u) + 1 < static_cast<uint32_t>(n_block)) return;
  entry = atomicExch(best + r, 0ull);
  n_done[r] = 0;
  const auto key = static_cast<uint32_t>(entry >> 32);
  const auto id = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(entry));
  out[r] = key == 0 ? -1 : key == kNotANumber ? -2 - id : id;
}

}  // namespace

void argmax_rows(TensorView<const float> logits, int32_t* out, Queue& queue) {
  const int64_t n_row = logits.n_rows();
  SW_ASSERT(n_row <= kMostArgmaxRows);
  if (n_row == 0) return;
  const unsigned n_block = n_blocks(logits.n_cols(), kLogitsPerBlock);
  auto* best = reinterpret_cast<unsigned long long*>(queue.counters());
  uint32_t* n_done = queue.counters() + 2 * kMostArgmaxRows;
  launch_early(argmax_kernel, n_blocks(n_row * n_block, 1), kArgmaxThreads, 0, queue, logits.data(),
               logits.stride(), logits.n_cols(), n_block, best, n_done, out);
}

}  // namespace sw::cuda
