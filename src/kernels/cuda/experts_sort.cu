// SPDX-License-Identifier: MIT
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kPairThreads = 256, kSortThreads = kSortWarps * kWarp;

/// A thread per pair; it also empties the tiles, of which there are fewer than pairs.
__global__ void find_experts(ExpertSlots slots, ExpertMatrices matrices, SortedRows rows) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPairThreads + threadIdx.x;
  if (i >= rows.n_pair) return;
  const int64_t t = i / slots.n_slot;
  const int s = static_cast<int>(i % slots.n_slot);
  const int32_t id = s < slots.n_used(t) ? slots.id(t, s) : -1;
  rows.expert[i] = slots.in_table(id) && matrices.at(id) ? id : -1;
  rows.row[i] = -1;
  if (i < rows.n_tile) rows.tiles[i] = {-1, 0, 0};
}

/// The pairs that a warp of an expert's block looks at.
struct Section {
  __device__ Section(const SortedRows& rows, int warp) {
    constexpr int64_t kGrain = kSortWarps * kWarp;
    const int64_t n = (rows.n_pair + kGrain - 1) / kGrain * kWarp;
    begin = min(warp * n, rows.n_pair);
    end = min(begin + n, rows.n_pair);
  }
  int64_t begin, end;
};

/// A block per expert.
__global__ void __launch_bounds__(kSortThreads) count_rows(SortedRows rows) {
  const int expert = static_cast<int>(blockIdx.x), warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const Section section(rows, warp);
  int n = 0;
#pragma unroll 4
  for (int64_t i = section.begin + lane; i < section.end; i += kWarp) n += rows.expert[i] == expert;
  n = lane_sum(n);
  __shared__ int count[kSortWarps];
  if (lane == 0) count[warp] = rows.section_count[expert * kSortWarps + warp] = n;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int w = 1; w < kSortWarps; ++w) n += count[w];
  rows.count[expert] = n;
}

/// A block per expert: its tiles, then its rows.
__global__ void __launch_bounds__(kSortThreads) sort_rows(SortedRows rows, int n_slot) {
  const int expert = static_cast<int>(blockIdx.x), warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int n = rows.count[expert];
  if (n == 0) return;
  int begin = 0, first_tile = 0;
  for (int e = lane; e < expert; e += kWarp) {
    begin += rows.count[e];
    first_tile += (rows.count[e] + kTileRows - 1) / kTileRows;
  }
  begin = lane_sum(begin);
  first_tile = lane_sum(first_tile);
  const int end = begin + n;
  for (int i = static_cast<int>(threadIdx.x); begin + i * kTileRows < end; i += kSortThreads) {
    rows.tiles[first_tile + i] = {expert, begin + i * kTileRows, min(begin + (i + 1) * kTileRows, end)};
  }
  for (int w = 0; w < warp; ++w) begin += rows.section_count[expert * kSortWarps + w];
  const Section section(rows, warp);
  constexpr int kAhead = 4;  // loads on their way at once
  for (int64_t first = section.begin; first < section.end; first += kAhead * kWarp) {
    int32_t chosen[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int64_t i = first + a * kWarp + lane;
      chosen[a] = i < section.end ? rows.expert[i] : -1;
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int64_t i = first + a * kWarp + lane;
      const unsigned lanes = __ballot_sync(kAllLanes, chosen[a] == expert);
      if (chosen[a] == expert) {
        const int row = begin + __popc(lanes & ((1u << lane) - 1));
        rows.token[row] = static_cast<int32_t>(i / n_slot);
        rows.row[i] = row;
      }
      begin += __popc(lanes);
    }
  }
}

}  // namespace

void sort_by_expert(const ExpertSlots& slots, const ExpertStack& stack, const SortedRows& rows,
                    OpContext& context) {
  find_experts<<<n_blocks(rows.n_pair, kPairThreads), kPairThreads, 0, context.cuda->stream()>>>(
      slots, ExpertMatrices(stack), rows);
  SW_CUDA_LAUNCHED();
  count_rows<<<n_blocks(stack.n_expert, 1), kSortThreads, 0, context.cuda->stream()>>>(rows);
  SW_CUDA_LAUNCHED();
  sort_rows<<<n_blocks(stack.n_expert, 1), kSortThreads, 0, context.cuda->stream()>>>(rows, slots.n_slot);
  SW_CUDA_LAUNCHED();
}

}  // namespace sw::cuda
