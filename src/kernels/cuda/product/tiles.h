// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// Products for many tokens: one kernel multiplies rows of inputs by a matrix, or runs of rows each by a
/// matrix of its own (tokens sorted by expert). Every pointer is the GPU's.
namespace sw::cuda {

class Queue;

/// Rows [begin, end) of `out` are products of matrix `matrix` of a stack or of a table; -1: nothing to do.
struct Tile {
  int32_t matrix, begin, end;
};

/// A second matrix for each one of a product, of the same format and shape: out = silu(W x + bias) * (V x +
/// bias) or, with a limit, clamped_swiglu of both.
struct GatedProduct {
  const std::byte* data = nullptr;      ///< as TiledProduct::weight's
  const ExpertMatrix* table = nullptr;  ///< as TiledProduct::table
  const float* bias = nullptr;
  float swiglu_limit = 0;
};

/// out[i] = W x[x_rows ? x_rows[i] : i] + bias, added where `add`. Inputs and weights are rounded to bf16 and
/// added in f32; with weights in F32, both are split so that the products are nearly those of f32. A row's
/// bits depend on the matrix, its input and the shape of the block that makes it. Row-invariant: in f32, in
/// the order of the products for few tokens.
struct TiledProduct {
  WeightView weight = {};  ///< [n_out, n_in], or stacked [n_matrix, n_out, n_in]
  /// Or, with tiles, where each matrix is; `weight` then says format and shape of those to multiply, and
  /// tiles of all others are left out.
  const ExpertMatrix* table = nullptr;
  TensorView<const float> x = {};  ///< read where wants_bf16() says no
  /// x in bf16 where wants_bf16(): as round_to_bf16() writes it.
  TensorView<const uint16_t> x_bf16 = {};
  TensorView<float> out = {};
  /// Instead of `out`, and not added to: bf16, in the order of the columns; always where gated, and then as
  /// another product reads it.
  TensorView<uint16_t> out_bf16 = {};
  const GatedProduct* gated = nullptr;  ///< not row-invariant and not with weights in F32
  bool add = false;
  const float* bias = nullptr;      ///< [n_out] or [n_matrix, n_out], or null
  bool row_invariant = false;       ///< the bits of a single row
  const int32_t* x_rows = nullptr;  ///< [out.n_rows()]
  const Tile* tiles = nullptr;      ///< null: all rows of `out` by the one matrix
  int64_t n_tile = 0;               ///< of `tiles`
  int tile_rows = 0;                ///< of `tiles`, at most: one of sorted_tile_rows()
  /// Without tiles: each matrix of the stack multiplies all rows, its inputs and results so many elements
  /// behind those of the matrix before. 0 with tiles, whose rows say where they are.
  int64_t x_step = 0, out_step = 0;
};

void multiply_tiles(const TiledProduct& product, OpContext& context);

/// Whether a product reads x_bf16.
inline bool wants_bf16(Type weight, bool row_invariant) { return weight != Type::F32 && !row_invariant; }

/// Stride of rows in bf16 that a product reads: whole runs of 64, the last filled up with 0.
constexpr int64_t bf16_stride(int64_t n) { return (n + 63) / 64 * 64; }

/// Where element k of such a row stands: within each run of 64 they are sorted as the operands of the tensor
/// cores, pair i of the 16 elements of a lane next to the pairs i of the other three lanes.
constexpr int64_t operand_place(int64_t k) {
  const int64_t pair = k % 64 / 2;
  return k / 64 * 64 + (pair % 8 * 4 + pair / 8) * 2 + k % 2;
}

/// Rounds `n_matrix` times x.n_rows() rows to bf16 as a product reads them, one after the other; those of a
/// matrix begin x_step floats behind those of the one before.
void round_to_bf16(TensorView<const float> x, int64_t n_matrix, int64_t x_step, TensorView<uint16_t> out,
                   OpContext& context);

/// Rows that a tile of sorted rows should have at most: of `n_row` rows for `n_expert` experts, whose
/// matrices have any of `formats`.
int sorted_tile_rows(int64_t n_row, int64_t n_expert, std::span<const ExpertFormat> formats,
                     const Queue& queue);
inline constexpr int kLeastTileRows = 16;

}  // namespace sw::cuda
