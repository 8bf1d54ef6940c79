// SPDX-License-Identifier: MIT
#include "kernels/cuda/experts_sort.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kSortThreads = 1024, kSortWarps = kSortThreads / kWarp;
/// Every block reads all pairs, so that more blocks than multiprocessors would only add work.
constexpr int64_t kMostSortBlocks = 128;
constexpr int64_t kLeastOwnPairs = 128;

struct SortTask {
  ExpertSlots slots;
  ExpertMatrices matrices;
  SortedRows rows;
  int n_expert;
  int n_own;  ///< pairs of a block, a multiple of kWarp
};

/// What a block knows of each expert, in shared memory.
struct ExpertRows {
  int32_t* next;        ///< [n_expert] the row of the block's next pair; at first, pairs before the block's
  int32_t* first_row;   ///< [n_expert]; at first, the other pairs
  int32_t* first_tile;  ///< [n_expert]
  int32_t n_row, n_tile;

  __device__ ExpertRows(int32_t* shared, int n_expert)
      : next(shared), first_row(next + n_expert), first_tile(first_row + n_expert) {}
};

/// The expert of a pair, or -1 where there is none in the table.
__device__ __forceinline__ int32_t expert_of(const ExpertSlots& slots, unsigned pair) {
  const unsigned t = pair / slots.n_slot, s = pair % slots.n_slot;
  const int32_t id = slots.id(t, static_cast<int>(s));
  return static_cast<int>(s) < slots.n_used(t) && slots.in_table(id) ? id : -1;
}

/// Those of the four pairs from `pair` on. kByQuads: they are of one token, and their ids aligned.
template <bool kByQuads>
__device__ __forceinline__ int4 experts_of(const SortTask& task, unsigned pair) {
  const ExpertSlots& slots = task.slots;
  const auto n_pair = static_cast<unsigned>(task.rows.n_pair);
  if constexpr (kByQuads) {
    if (pair >= n_pair) return {-1, -1, -1, -1};
    const unsigned t = pair / slots.n_slot, s = pair % slots.n_slot;
    const int4 ids = *reinterpret_cast<const int4*>(slots.ids + t * slots.id_stride + s);
    const int n_used = slots.n_used(t) - static_cast<int>(s);
    const auto known = [&](int i, int32_t id) { return i < n_used && slots.in_table(id) ? id : -1; };
    return {known(0, ids.x), known(1, ids.y), known(2, ids.z), known(3, ids.w)};
  } else {
    const auto at = [&](unsigned i) { return pair + i < n_pair ? expert_of(slots, pair + i) : -1; };
    return {at(0), at(1), at(2), at(3)};
  }
}

/// Pairs of each expert, those before `own_begin` apart.
template <bool kByQuads>
__device__ __forceinline__ void count_pairs(const SortTask& task, unsigned own_begin, const ExpertRows& e) {
  constexpr int kAhead = 4;  // loads on their way at once
  constexpr unsigned kStep = 4 * kSortThreads;
  for (unsigned first = 4 * threadIdx.x; first < task.rows.n_pair; first += kAhead * kStep) {
    int4 experts[kAhead];
#pragma unroll
    for (unsigned a = 0; a < kAhead; ++a) experts[a] = experts_of<kByQuads>(task, first + a * kStep);
#pragma unroll
    for (unsigned a = 0; a < kAhead; ++a) {
      int32_t* counts = first + a * kStep < own_begin ? e.next : e.first_row;
      for (const int32_t id : {experts[a].x, experts[a].y, experts[a].z, experts[a].w}) {
        if (id >= 0) atomicAdd(counts + id, 1);
      }
    }
  }
}

/// The sums of x over the lanes up to this one.
__device__ __forceinline__ uint64_t sum_up_to_lane(uint64_t x) {
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const uint64_t lower = __shfl_up_sync(kAllLanes, x, distance);
    if (threadIdx.x % kWarp >= distance) x += lower;
  }
  return x;
}

/// From counts to the rows and tiles where each expert begins. Ends with a barrier.
__device__ __forceinline__ void place_experts(const SortTask& task, ExpertRows& e) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int n_mine = (task.n_expert + kSortThreads - 1) / kSortThreads;
  const int begin = static_cast<int>(threadIdx.x) * n_mine, end = min(begin + n_mine, task.n_expert);
  // Rows in the lower half, tiles in the upper.
  const auto size_of = [&](int expert) -> uint64_t {
    if (!task.matrices.at(expert)) return 0;
    const auto n = static_cast<unsigned>(e.next[expert] + e.first_row[expert]);
    return n | static_cast<uint64_t>((n + task.rows.tile_rows - 1) / task.rows.tile_rows) << 32;
  };
  uint64_t mine = 0;
  for (int expert = begin; expert < end; ++expert) mine += size_of(expert);
  __shared__ uint64_t of_warp[kSortWarps];
  uint64_t at = sum_up_to_lane(mine);
  if (lane == kWarp - 1) of_warp[warp] = at;
  __syncthreads();
  const uint64_t up_to_warp = sum_up_to_lane(of_warp[lane]);
  const uint64_t total = __shfl_sync(kAllLanes, up_to_warp, kWarp - 1);
  const uint64_t before_warp = __shfl_sync(kAllLanes, up_to_warp, max(warp - 1, 0));
  at += (warp > 0 ? before_warp : 0) - mine;
  e.n_row = static_cast<int32_t>(total);
  e.n_tile = static_cast<int32_t>(total >> 32);
  for (int expert = begin; expert < end; ++expert) {
    const uint64_t size = size_of(expert);
    e.first_row[expert] = static_cast<int32_t>(at);
    e.first_tile[expert] = static_cast<int32_t>(at >> 32);
    e.next[expert] += static_cast<int32_t>(at);
    at += size;
  }
  __syncthreads();
}

/// The block's share of the tiles, empty ones too.
__device__ __forceinline__ void write_tiles(const SortTask& task, const ExpertRows& e) {
  const int64_t n_tile = task.rows.n_tile;
  for (int64_t i = blockIdx.x + static_cast<int64_t>(threadIdx.x) * gridDim.x; i < n_tile;
       i += static_cast<int64_t>(kSortThreads) * gridDim.x) {
    if (i >= e.n_tile) {
      task.rows.tiles[i] = {-1, 0, 0};
      continue;
    }
    int low = 0, high = task.n_expert;  // the last expert that begins at this tile or before
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (e.first_tile[middle] <= i ? low : high) = middle;
    }
    const int begin = e.first_row[low] + static_cast<int>(i - e.first_tile[low]) * task.rows.tile_rows;
    const int end = low + 1 < task.n_expert ? e.first_row[low + 1] : e.n_row;
    task.rows.tiles[i] = {low, begin, min(begin + task.rows.tile_rows, end)};
  }
}

/// A row to each of up to kSortThreads pairs, from `begin` on; the warps take turns. `pair` may lie beyond
/// the last.
__device__ __forceinline__ void place_pairs(const SortTask& task, unsigned begin, unsigned end,
                                            const ExpertRows& e) {
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, pair = begin + threadIdx.x;
  int32_t id = pair < end ? expert_of(task.slots, pair) : -1;
  if (id >= 0 && !task.matrices.at(id)) id = -1;
  const unsigned like_me = __match_any_sync(kAllLanes, id);
  const unsigned first_lane = __ffs(like_me) - 1;
  int32_t first = 0;
  for (unsigned turn = 0; turn * kWarp < end - begin; ++turn) {
    if (turn == warp && lane == first_lane && id >= 0) {
      first = e.next[id];
      e.next[id] = first + __popc(like_me);
    }
    __syncthreads();
  }
  const int32_t row =
      __shfl_sync(kAllLanes, first, static_cast<int>(first_lane)) + __popc(like_me & ((1u << lane) - 1));
  if (pair >= end) return;
  task.rows.row[pair] = id >= 0 ? row : -1;
  if (id >= 0) task.rows.token[row] = static_cast<int32_t>(pair / task.slots.n_slot);
}

template <bool kByQuads>
__global__ void __launch_bounds__(kSortThreads, 1) sort_rows(const SortTask task) {
  extern __shared__ int32_t shared[];
  ExpertRows e(shared, task.n_expert);
  for (int i = static_cast<int>(threadIdx.x); i < task.n_expert; i += kSortThreads)
    e.next[i] = e.first_row[i] = 0;
  __syncthreads();
  wait_for_previous();
  let_next_start();
  const auto n_pair = static_cast<unsigned>(task.rows.n_pair);
  const unsigned own_begin = min(blockIdx.x * task.n_own, n_pair),
                 own_end = min(own_begin + task.n_own, n_pair);
  count_pairs<kByQuads>(task, own_begin, e);
  __syncthreads();
  place_experts(task, e);
  write_tiles(task, e);
  for (unsigned begin = own_begin; begin < own_end; begin += kSortThreads)
    place_pairs(task, begin, min(begin + kSortThreads, own_end), e);
}

}  // namespace

void sort_by_expert(const ExpertSlots& slots, const ExpertStack& stack, const SortedRows& rows,
                    OpContext& context) {
  SW_ASSERT(stack.n_expert <= kMostSortedExperts && rows.n_pair <= INT32_MAX);
  const int64_t most_blocks = std::clamp<int64_t>(rows.n_pair / kLeastOwnPairs, 1, kMostSortBlocks);
  const int64_t n_own = (rows.n_pair + most_blocks * kWarp - 1) / (most_blocks * kWarp) * kWarp;
  const SortTask task{.slots = slots,
                      .matrices = ExpertMatrices(stack),
                      .rows = rows,
                      .n_expert = static_cast<int>(stack.n_expert),
                      .n_own = static_cast<int>(n_own)};
  const bool by_quads = slots.n_slot % 4 == 0 && slots.id_stride % 4 == 0 &&
                        reinterpret_cast<uintptr_t>(slots.ids) % sizeof(int4) == 0;
  launch_early(by_quads ? sort_rows<true> : sort_rows<false>, n_blocks(rows.n_pair, n_own), kSortThreads,
               static_cast<size_t>(3 * stack.n_expert) * sizeof(int32_t), *context.cuda, task);
}

}  // namespace sw::cuda
