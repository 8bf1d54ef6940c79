// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/flash_rows.cuh"

/// Attention of several tokens over a cache in F16, by the tensor instructions of single warps. Keys and
/// values go through a ring in shared memory.
namespace sw::cuda {

/// Sizes for heads of up to kDim.
template <int kDim_, int kTiles_, int kWarps_, int kKeys_, int kRing_>
struct FlashShape {
  static constexpr int kDim = kDim_;
  static constexpr int kTiles = kTiles_;  ///< of 16 rows, per warp
  static constexpr int kWarps = kWarps_, kThreads = kWarps * kWarp;
  static constexpr int kRows = kWarps * kTiles * kTileRows;
  static constexpr int kKeys = kKeys_;
  static constexpr int kRing = kRing_;  ///< tiles of keys or of values that are there or on their way
  using QueryRows = HalfRows<kDim>;
  using KeyRows = HalfRows<kDim>;
  static constexpr uint32_t kTableBytes = (sizeof(PageTable<kKeys>) + 127) / 128 * 128,
                            kQueryBytes = kRows * kDim * 2, kSlotBytes = kKeys * kDim * 2;
  static constexpr size_t kSharedBytes = kTableBytes + kQueryBytes + kRing * kSlotBytes;
};

template <class Shape>
class FlashTile {
 public:
  static constexpr int kDim = Shape::kDim;
  using Rows = FlashRows<Shape>;
  using Copies = KeyCopies<Shape>;

  __device__ FlashTile(const FlashTask& task, const FlashBlock<Shape>& block, std::byte* shared)
      : task_(task),
        rows_(task.attend, block.kv_head, block.first, block.n),
        table_(*reinterpret_cast<PageTable<Shape::kKeys>*>(shared)),
        queries_{shared_address(shared) + Shape::kTableBytes} {
    rows_.load_queries(queries_);
    rows_.clear_padding({slot(0)}, Shape::kRing * Shape::kKeys);
  }

  __device__ void attend(const TokenStretch& stretch, int begin, int end, int split) {
    Copies copies(task_.attend, rows_.kv_head(), stretch, rows_.seq(stretch.begin), end, table_);
    rows_.start(stretch);
    __syncthreads();  // all are done with the ring
    begin_ = begin;
    copies.look_up(begin);
    copies.look_up(begin + 1);
    __syncthreads();  // the queries are there, too
    for (int i = 0; i < Shape::kRing - 1; ++i) start(copies, i);
    for (int tile = begin; tile < end; ++tile) {
      typename Rows::Scores scores;
      score(next(copies, 2 * (tile - begin)), scores);
      rows_.mask(stretch, tile, scores);
#pragma unroll
      for (int m = 0; m < Shape::kTiles; ++m) rows_.sums[m].weigh(scores[m]);
      add_values(next(copies, 2 * (tile - begin) + 1), scores);
    }
    rows_.write(split, task_);
  }

 private:
  static constexpr int kUnits = Shape::kKeys / kTileRows;

  __device__ uint32_t slot(int item) const {
    return queries_.base + Shape::kQueryBytes + item % Shape::kRing * Shape::kSlotBytes;
  }
  /// Item 2 i: the keys of tile begin + i, item 2 i + 1: its values. Always closes a group, so that waiting
  /// counts items.
  __device__ __forceinline__ void start(const Copies& copies, int item) const {
    if (copies.has(begin_ + item / 2)) copies.start(begin_ + item / 2, item % 2 == 1, {slot(item)});
    end_copies();
  }
  /// Waits for an item, starts the copies of the one that takes the place of the last, and gives its address.
  __device__ __forceinline__ uint32_t next(Copies& copies, int item) const {
    wait_copies<Shape::kRing - 2>();
    __syncthreads();  // all have read the last
    start(copies, item + Shape::kRing - 1);
    if (item % 2 == 0) copies.look_up(begin_ + item / 2 + 2);
    return slot(item);
  }

  __device__ __forceinline__ void score(uint32_t keys, typename Rows::Scores& scores) const {
#pragma unroll
    for (auto& of_tile : scores) {
#pragma unroll
      for (auto& tile : of_tile) {
#pragma unroll
        for (float& x : tile) x = 0;
      }
    }
    const auto left = LaneRows<kDim>::left(), right = LaneRows<kDim>::right();
    const int first_tile = threadIdx.x / kWarp * Shape::kTiles;
#pragma unroll
    for (int i = 0; i < kDim / 16; ++i) {
      Fragment query[Shape::kTiles];
#pragma unroll
      for (int m = 0; m < Shape::kTiles; ++m)
        load_fragment(query[m], left.at(queries_.base, first_tile + m, i));
#pragma unroll
      for (int n = 0; n < kUnits; ++n) {
        Fragment key;
        load_fragment(key, right.at(keys, n, i));
#pragma unroll
        for (int m = 0; m < Shape::kTiles; ++m) {
          add_product(scores[m][2 * n], query[m], key[0], key[1]);
          add_product(scores[m][2 * n + 1], query[m], key[2], key[3]);
        }
      }
    }
  }

  __device__ __forceinline__ void add_values(uint32_t values, const typename Rows::Scores& weights) {
    const auto lane = LaneRows<kDim>::left();
#pragma unroll
    for (int n = 0; n < kUnits; ++n) {
      Fragment weight[Shape::kTiles];
#pragma unroll
      for (int m = 0; m < Shape::kTiles; ++m)
        weight_fragment(weight[m], weights[m][2 * n], weights[m][2 * n + 1]);
#pragma unroll
      for (int i = 0; i < kDim / 16; ++i) {
        Fragment value;
        load_transposed(value, lane.at(values, n, i));
#pragma unroll
        for (int m = 0; m < Shape::kTiles; ++m) {
          add_product(rows_.sums[m].acc[2 * i], weight[m], value[0], value[1]);
          add_product(rows_.sums[m].acc[2 * i + 1], weight[m], value[2], value[3]);
        }
      }
    }
  }

  const FlashTask& task_;
  Rows rows_;
  PageTable<Shape::kKeys>& table_;
  const HalfRows<kDim> queries_;
  int begin_ = 0;
};

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 2) attend_flash_kernel(const FlashTask task) {
  extern __shared__ __align__(1024) std::byte shared[];
  const FlashBlock<Shape> block(task);
  FlashTile<Shape> tile(task, block, shared);
  block.for_each_stretch(task, [&](const TokenStretch& stretch, int begin, int end) {
    tile.attend(stretch, begin, end, block.split);
  });
}

}  // namespace sw::cuda
