// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/profile.h"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kThreads = 256, kLoads = 8, kRounds = 5;
constexpr size_t kBlockBytes = size_t{kThreads} * kLoads * sizeof(uint4);
/// Caches hold some tens of MiB.
constexpr size_t kMostBytes = size_t{1} << 30, kLeastBytes = size_t{256} << 20;

/// Bits without a pattern: memory that is all zeros takes less power, and reads faster, than weights do.
__global__ void fill_kernel(uint4* data) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  unsigned x = static_cast<unsigned>(i) * 2654435761u;
  const auto next = [&x] {
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    return x;
  };
  data[i] = make_uint4(next(), next(), next(), next());
}

/// Every load is under way before the first has come.
__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* data, unsigned unlikely, unsigned* seen) {
  const uint4* from = data + static_cast<int64_t>(blockIdx.x) * (kThreads * kLoads) + threadIdx.x;
  uint4 loaded[kLoads];
#pragma unroll
  for (int i = 0; i < kLoads; ++i) loaded[i] = __ldcs(from + i * kThreads);
  unsigned bits = 0;
#pragma unroll
  for (int i = 0; i < kLoads; ++i) bits ^= loaded[i].x ^ loaded[i].y ^ loaded[i].z ^ loaded[i].w;
  if (bits == unlikely) *seen = bits;  // so that nothing of the above can be left out
}

/// Memory of the GPU, for as long as it is measured.
struct Room {
  uint4* data = nullptr;
  ~Room() { (void)cudaFree(data); }
};

}  // namespace

double stream_limit(const Queue& queue) {
  const cudaStream_t stream = queue.stream();
  size_t free_bytes = 0, total_bytes = 0;
  SW_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
  const size_t n_block = std::min(kMostBytes, free_bytes / 2) / kBlockBytes;
  if (n_block * kBlockBytes < kLeastBytes) return 0;
  Room room;
  if (cudaMalloc(&room.data, (n_block + 1) * kBlockBytes) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  const auto blocks = static_cast<unsigned>(n_block);
  auto* seen = reinterpret_cast<unsigned*>(room.data + n_block * kThreads * kLoads);
  fill_kernel<<<blocks * kLoads, kThreads, 0, stream>>>(room.data);
  SW_CUDA_LAUNCHED();
  const std::unique_ptr<Timeline> timeline = make_timeline(queue);
  timeline->mark();
  for (int round = 0; round <= kRounds; ++round) {
    read_kernel<<<blocks, kThreads, 0, stream>>>(room.data, 0x9e3779b9u, seen);
    SW_CUDA_LAUNCHED();
    timeline->mark();
  }
  SW_CUDA(cudaStreamSynchronize(stream));
  double best_s = timeline->seconds(1, 2);  // the first round loads the kernel
  for (int round = 2; round <= kRounds; ++round)
    best_s = std::min(best_s, timeline->seconds(round, round + 1));
  return best_s > 0 ? static_cast<double>(n_block * kBlockBytes) / best_s : 0;
}

}  // namespace sw::cuda
