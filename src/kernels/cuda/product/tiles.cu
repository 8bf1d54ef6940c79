// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/lane_tiles.cuh"
#include "kernels/cuda/queue.h"

namespace sw::cuda {
namespace {

// A block makes 64 rows of `out` (inputs) by 64 columns (rows of weights), 32 elements of the sums at a time:
// weights and inputs stand decoded in shared memory, a thread has 4 x 4 of the sums in registers.
constexpr int kCols = 64, kDepth = 32, kThreads = 256;
constexpr unsigned kFewBlocks = 512;  ///< no more than two for each multiprocessor, or hardly
constexpr int kDepthQuads = kDepth / 4;
// One quad more than needed: rows then begin at different banks, and eight lanes reading eight rows never
// meet.
constexpr int kPitch = kDepthQuads + 1;
constexpr int kLoadRows = kThreads / kDepthQuads;  ///< rows that one pass of the block loads
constexpr int kLoads = kTileRows / kLoadRows;
constexpr int kSide = kTileRows / 4;  ///< threads along a side of the tile
static_assert(kTileRows == kCols && kSide * kSide == kThreads && kLoads * kLoadRows == kTileRows);

/// What one thread carries from global to shared memory: kLoads quads of weights and of inputs.
template <class Format>
struct Loader {
  const uint8_t* w_rows[kLoads];
  const float* x_rows[kLoads];
  float4 w[kLoads], x[kLoads];
  int quad, row;

  __device__ Loader(const TileArgs& a, const uint8_t* matrix, const Tile& tile, int64_t col_begin)
      : quad(threadIdx.x % kDepthQuads), row(threadIdx.x / kDepthQuads) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int64_t r = col_begin + row + i * kLoadRows, m = tile.begin + row + i * kLoadRows;
      w_rows[i] = r < a.n_out ? matrix + r * a.row_bytes : nullptr;
      x_rows[i] = m < tile.end ? a.input(tile, m) : nullptr;
    }
  }
  /// Elements k .. k + kDepth of the rows into registers; 0 where there are none.
  __device__ __forceinline__ void load(int k, int n_in) {
    k += 4 * quad;
    const float4 zero = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      w[i] = w_rows[i] && k < n_in ? Decoder<Format>::template quad<false>(w_rows[i], k, n_in) : zero;
      x[i] = x_rows[i] && k < n_in ? load_quad<false>(x_rows[i] + k, n_in - k) : zero;
    }
  }
  __device__ __forceinline__ void store(float4 (*w_tile)[kPitch], float4 (*x_tile)[kPitch]) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      w_tile[row + i * kLoadRows][quad] = w[i];
      x_tile[row + i * kLoadRows][quad] = x[i];
    }
  }
};

/// A thread's sums: inputs 4 y + j by weight rows x + kSide * i. So a warp has eight neighbouring inputs, and
/// leaves out the arithmetic where a short tile has none of them.
struct Sums {
  float sum[4][4] = {};
  int x = threadIdx.x % kSide, y = threadIdx.x / kSide;

  __device__ __forceinline__ void add(const float4 (*w_tile)[kPitch], const float4 (*x_tile)[kPitch]) {
#pragma unroll 2
    for (int q = 0; q < kDepthQuads; ++q) {
      float4 w[4], v[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        w[i] = w_tile[x + kSide * i][q];
        v[i] = x_tile[4 * y + i][q];
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[j][i] = add_dot(sum[j][i], w[i], v[j]);
      }
    }
  }
  __device__ __forceinline__ void write(const TileArgs& a, const Tile& tile, int64_t col_begin) const {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t m = tile.begin + 4 * y + j;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t r = col_begin + x + kSide * i;
        if (m < tile.end && r < a.n_out) a.write(tile, m, r, sum[j][i]);
      }
    }
  }
};

/// kTable: matrices of a table. A kernel of its own, as the compiler reads weights faster where it knows that
/// their address follows from an argument. kResident: blocks that a multiprocessor has room for at once; the
/// fewer, the more registers a thread may have.
template <class Format, bool kTable, int kResident>
__global__ void __launch_bounds__(kThreads, kResident) tiles_kernel(TileArgs a) {
  __shared__ float4 w_tile[kCols][kPitch], x_tile[kTileRows][kPitch];
  const int64_t n_col_tile = (a.n_out + kCols - 1) / kCols;
  const int64_t index = blockIdx.x / n_col_tile, col_begin = blockIdx.x % n_col_tile * kCols;
  const Tile tile = a.tile(index);
  if (tile.matrix < 0) return;
  const uint8_t* matrix = kTable ? a.listed(tile) : a.stacked(tile);
  if (!matrix) return;  // the whole block: before any barrier

  Loader<Format> loader(a, matrix, tile, col_begin);
  Sums sums;
  const bool has_inputs = tile.begin + sums.y / 2 * 8 < tile.end;  // the same in all lanes of a warp
  loader.load(0, a.n_in);
  for (int k = 0; k < a.n_in; k += kDepth) {
    __syncthreads();
    loader.store(w_tile, x_tile);
    __syncthreads();
    if (k + kDepth < a.n_in) loader.load(k + kDepth, a.n_in);  // on its way while the block multiplies
    if (has_inputs) sums.add(w_tile, x_tile);
  }
  sums.write(a, tile, col_begin);
}

}  // namespace

void multiply_tiles(const TiledProduct& p, OpContext& context) {
  const Shape& shape = p.weight.shape;
  const int64_t n_out = shape[shape.n_dims() - 2], n_row = p.out.n_rows();
  const int64_t n_matrix = shape.n_dims() == 3 ? shape[0] : 1;
  const int64_t n_tile = p.tiles ? p.n_tile : n_matrix * ((n_row + kTileRows - 1) / kTileRows);
  if (n_tile == 0) return;
  SW_ASSERT(n_row <= INT32_MAX);
  const TileArgs args{.weights = reinterpret_cast<const uint8_t*>(p.weight.data),
                      .table = p.table,
                      .type = p.weight.type,
                      .row_bytes = static_cast<int64_t>(p.weight.row_size_bytes()),
                      .n_out = n_out,
                      .n_in = static_cast<int>(shape.n_cols()),
                      .x = p.x.data(),
                      .x_stride = p.x.stride(),
                      .x_step = p.x_step,
                      .out = p.out.data(),
                      .out_stride = p.out.stride(),
                      .out_step = p.out_step,
                      .n_row = n_row,
                      .add = p.add,
                      .bias = p.bias,
                      .x_rows = p.x_rows,
                      .tiles = p.tiles};
  const int n_col = p.row_invariant ? kLaneCols : kCols,
            n_thread = p.row_invariant ? kMatvecThreads : kThreads;
  const unsigned blocks = n_blocks(n_tile * ((n_out + n_col - 1) / n_col), 1);
  with_type(p.weight.type, [&]<class Format>() {
    const auto kernel = p.row_invariant        ? lane_tiles_kernel<Format>
                        : p.table              ? tiles_kernel<Format, true, 3>
                        : blocks <= kFewBlocks ? tiles_kernel<Format, false, 2>
                                               : tiles_kernel<Format, false, 3>;
    kernel<<<blocks, n_thread, 0, context.cuda->stream()>>>(args);
    SW_CUDA_LAUNCHED();
  });
}

}  // namespace sw::cuda
