// SPDX-License-Identifier: MIT
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kPairThreads = 256;

/// A thread per pair; it also empties the tiles, of which there are fewer than pairs.
__global__ void find_experts(ExpertSlots slots, ExpertMatrices matrices, SortedRows rows) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPairThreads + threadIdx.x;
  if (i >= rows.n_pair) return;
  const int64_t t = i / slots.n_slot;
  const int s = static_cast<int>(i % slots.n_slot);
  const int32_t id = s < slots.n_used(t) ? slots.id(t, s) : -1;
  rows.expert[i] = slots.in_table(id) && matrices(id) ? id : -1;
  rows.row[i] = -1;
  if (i < rows.n_tile) rows.tiles[i] = {-1, 0, 0};
}

/// A block of one warp per expert.
__global__ void count_rows(SortedRows rows) {
  const int expert = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x);
  int n = 0;
#pragma unroll 4
  for (int64_t i = lane; i < rows.n_pair; i += kWarp) n += rows.expert[i] == expert;
  n = lane_sum(n);
  if (lane == 0) rows.count[expert] = n;
}

/// A block of one warp per expert: its tiles, then its rows.
__global__ void sort_rows(SortedRows rows, int n_slot) {
  const int expert = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x);
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
  for (int i = lane; begin + i * kTileRows < end; i += kWarp) {
    rows.tiles[first_tile + i] = {expert, begin + i * kTileRows, min(begin + (i + 1) * kTileRows, end)};
  }
  const int32_t* __restrict__ chosen = rows.expert;  // read ahead of the writes below
#pragma unroll 4
  for (int64_t first = 0; first < rows.n_pair; first += kWarp) {
    const int64_t i = first + lane;
    const bool mine = i < rows.n_pair && chosen[i] == expert;
    const unsigned lanes = __ballot_sync(kAllLanes, mine);
    if (mine) {
      const int row = begin + __popc(lanes & ((1u << lane) - 1));
      rows.token[row] = static_cast<int32_t>(i / n_slot);
      rows.row[i] = row;
    }
    begin += __popc(lanes);
  }
}

}  // namespace

void sort_by_expert(const ExpertSlots& slots, const ExpertStack& stack, const SortedRows& rows,
                    OpContext& context) {
  find_experts<<<n_blocks(rows.n_pair, kPairThreads), kPairThreads, 0, context.cuda->stream()>>>(
      slots, ExpertMatrices(stack), rows);
  SW_CUDA_LAUNCHED();
  count_rows<<<n_blocks(stack.n_expert, 1), kWarp, 0, context.cuda->stream()>>>(rows);
  SW_CUDA_LAUNCHED();
  sort_rows<<<n_blocks(stack.n_expert, 1), kWarp, 0, context.cuda->stream()>>>(rows, slots.n_slot);
  SW_CUDA_LAUNCHED();
}

}  // namespace sw::cuda
