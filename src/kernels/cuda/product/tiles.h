// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// Products for many tokens: one kernel multiplies rows of inputs by a matrix, or runs of rows each by a
/// matrix of its own (tokens sorted by expert). Every pointer is the GPU's.
namespace sw::cuda {

/// Rows of `out` in a tile at most.
inline constexpr int kTileRows = 64;

/// Rows [begin, end) of `out` are products of matrix `matrix` of a stack or of a table; -1: nothing to do.
struct Tile {
  int32_t matrix, begin, end;
};

/// out[i] = W x[x_rows ? x_rows[i] : i] + bias, added where `add`. f32, sums from the first element to the
/// last, so that a row's bits depend on nothing but the matrix and its input; or, row-invariant, in the order
/// of the products for few tokens.
struct TiledProduct {
  WeightView weight = {};  ///< [n_out, n_in], or stacked [n_matrix, n_out, n_in]
  /// Or, with tiles, where each matrix is; `weight` then says format and shape of those to multiply, and
  /// tiles of all others are left out.
  const ExpertMatrix* table = nullptr;
  TensorView<const float> x = {};
  TensorView<float> out = {};
  bool add = false;
  const float* bias = nullptr;      ///< [n_out] or [n_matrix, n_out], or null
  bool row_invariant = false;       ///< the bits of a single row
  const int32_t* x_rows = nullptr;  ///< [out.n_rows()]
  const Tile* tiles = nullptr;      ///< null: all rows of `out` by the one matrix
  int64_t n_tile = 0;               ///< of `tiles`
  /// Without tiles: each matrix of the stack multiplies all rows, its inputs and results so many floats
  /// behind those of the matrix before. 0 with tiles, whose rows say where they are.
  int64_t x_step = 0, out_step = 0;
};

void multiply_tiles(const TiledProduct& product, OpContext& context);

}  // namespace sw::cuda
