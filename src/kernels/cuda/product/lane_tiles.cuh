// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/expert_slots.cuh"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/product/tiles.h"

/// Products for many tokens with the bits of those for few: a warp has four rows of weights and eight inputs
/// at a time, and each lane its share of all 32 sums, as it has in matvec.cuh.
namespace sw::cuda {

/// A TiledProduct as its kernels read it.
struct TileArgs {
  const uint8_t* weights;
  const ExpertMatrix* table;
  Type type;
  int64_t row_bytes, n_out;
  int n_in;
  const float* x;
  int64_t x_stride, x_step;
  float* out;
  int64_t out_stride, out_step, n_row;
  bool add;
  const float* bias;
  const int32_t* x_rows;
  const Tile* tiles;
  int tile_rows;  ///< of a tile, at most

  /// The index-th tile. Where all rows meet each matrix, those of the first matrix come first.
  __device__ Tile tile(int64_t index) const {
    if (tiles) return tiles[index];
    const int64_t n_row_tile = (n_row + tile_rows - 1) / tile_rows;
    const int64_t begin = index % n_row_tile * tile_rows;
    return {static_cast<int32_t>(index / n_row_tile), static_cast<int32_t>(begin),
            static_cast<int32_t>(min(begin + tile_rows, n_row))};
  }
  /// The first row of a tile's matrix; null: nothing to do.
  __device__ const uint8_t* matrix(const Tile& tile) const {
    if (tile.matrix < 0) return nullptr;
    return table ? listed(tile) : stacked(tile);
  }
  __device__ const uint8_t* stacked(const Tile& tile) const {
    return weights + tile.matrix * n_out * row_bytes;
  }
  /// Null where another product multiplies this matrix.
  __device__ const uint8_t* listed(const Tile& tile) const {
    const ExpertMatrix expert = load_expert(table, tile.matrix);
    return expert.type == type ? reinterpret_cast<const uint8_t*>(expert.data) : nullptr;
  }
  /// The input of row `m` of a tile.
  __device__ const float* input(const Tile& tile, int64_t m) const {
    return x + tile.matrix * x_step + (x_rows ? x_rows[m] : m) * x_stride;
  }
  __device__ void write(const Tile& tile, int64_t m, int64_t r, float sum) const {
    float& to = out[tile.matrix * out_step + m * out_stride + r];
    const float y = bias ? sum + bias[tile.matrix * n_out + r] : sum;
    to = add ? to + y : y;
  }
};

inline constexpr int kLaneRows = 4, kLaneTokens = 8;  ///< a lane writes one of their products
static_assert(kLaneRows * kLaneTokens == kWarp);
inline constexpr int kLaneCols = kMatvecWarps * kLaneRows;  ///< rows of weights of a block

template <class Format>
__global__ void __launch_bounds__(kMatvecThreads) lane_tiles_kernel(TileArgs a) {
  const int64_t n_col_tile = (a.n_out + kLaneCols - 1) / kLaneCols;
  const Tile tile = a.tile(blockIdx.x / n_col_tile);
  const int64_t first = matvec_row(blockIdx.x % n_col_tile) * kLaneRows;
  const uint8_t* matrix = a.matrix(tile);
  if (!matrix || first >= a.n_out) return;
  const uint8_t* rows[kLaneRows];
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {  // those beyond the last repeat it
    rows[r] = matrix + min(first + r, a.n_out - 1) * a.row_bytes;
  }
  for (int64_t begin = tile.begin; begin < tile.end; begin += kLaneTokens) {
    const float* inputs[kLaneTokens];
#pragma unroll
    for (int t = 0; t < kLaneTokens; ++t)
      inputs[t] = a.input(tile, min(begin + t, static_cast<int64_t>(tile.end) - 1));
    float sum[kLaneRows][kLaneTokens];
    input_products<Format>(rows, a.n_in, inputs, a.x_stride, sum);
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
#pragma unroll
      for (int t = 0; t < kLaneTokens; ++t) {
        if (threadIdx.x % kWarp == r * kLaneTokens + t && begin + t < tile.end && first + r < a.n_out)
          a.write(tile, begin + t, first + r, sum[r][t]);
      }
    }
  }
}

}  // namespace sw::cuda
