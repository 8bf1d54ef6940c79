// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/product/tiles.h"

namespace sw::cuda {

/// Where the rows of weights of one product are.
struct MmaMatrices {
  const uint8_t* even = nullptr;        ///< one matrix or a stack of them, or null
  const ExpertMatrix* table = nullptr;  ///< or a table of them
  const float* bias = nullptr;          ///< [n_matrix, n_out] or null
};

/// A TiledProduct as the kernels of the tensor cores read it.
struct MmaArgs {
  MmaMatrices first;   ///< or the gates
  MmaMatrices second;  ///< gated only: what they scale
  bool gated;
  float swiglu_limit;
  Type type;
  int64_t row_bytes, n_out;
  int n_in;
  const void* x;             ///< bf16; f32 for weights in F32
  int64_t x_stride, x_step;  ///< in elements
  bool x_aligned;            ///< all rows of x begin at multiples of 16 bytes
  const int32_t* x_rows;
  float* out;          ///< [n_row, n_out], or
  uint16_t* out_bf16;  ///< the same in bf16, not added to; or null
  int64_t out_stride, out_step, n_row;
  bool out_aligned;  ///< four neighbours of a row are written at once (gated: two)
  bool add;
  const Tile* tiles;
  int64_t n_tile;  ///< of `tiles`, else the number of matrices
  int tile_rows = 0;
};

/// Columns of blocks with `n_row` rows of weights each; hidden values are made to the end of their last 64.
constexpr int64_t mma_columns(const MmaArgs& a, int n_row) {
  const int64_t n = a.gated ? 2 * bf16_stride(a.n_out) : a.n_out;
  return (n + n_row - 1) / n_row;
}

/// What a block makes. `tokens`: rows of out at most, `split` of the block's four warps share the sums of
/// the same results, so that 128 / split rows of weights are a block's.
struct MmaShape {
  int tokens, split;
  constexpr int weight_rows() const { return 128 / split; }
  friend constexpr bool operator==(const MmaShape&, const MmaShape&) = default;
};

}  // namespace sw::cuda
