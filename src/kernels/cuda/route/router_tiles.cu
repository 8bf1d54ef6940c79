// SPDX-License-Identifier: MIT
#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/route/router_tiles.h"
#include "kernels/cuda/warp.cuh"

/// A router has few rows: a block makes 64 rows of 64 tokens, so that a batch of 2048 fills the GPU. Its two
/// halves take turns at the chunks of a row, and the second adds its sums to the first's in the end.
///
/// Values are split in two: the upper 11 bits of the significand, which the tensor cores multiply exactly,
/// and the rest. Three of the four products are added, in f32; what is left out is below 2^-20 of a product.
namespace sw::cuda {
namespace {

constexpr int kSide = 64, kHalves = 2, kHalfThreads = 128, kThreads = kHalves * kHalfThreads;
/// Columns of a chunk: two rows are 128 bytes, which eight lanes read at once without a conflict.
constexpr int kChunk = 16;
constexpr int kStages = 3;
/// Of a warp: tiles of 16 tokens by 8 rows.
constexpr int kTokenTiles = 2, kRowTiles = 4;

struct TileArgs {
  const float* weights;
  const float* x;
  int64_t x_stride;
  int n_in, n_out, n_token;
  const float* bias;  ///< or null
  float* out;
  int64_t out_stride;
};

/// Chunks of the tokens and of the weights that are on their way or being multiplied.
struct Chunks {
  float tokens[kHalves][kStages][kSide][kChunk], rows[kHalves][kStages][kSide][kChunk];
};

/// A thread's share of the copies of one matrix: kCopies quads of a chunk.
struct Copier {
  static constexpr int kQuads = kChunk / 4, kCopies = kSide * kQuads / kHalfThreads;
  const float* from[kCopies];
  int row, column;  ///< of the first; the others stand kHalfThreads / kQuads rows below

  /// Of rows first, first + 1, ...; those from `n` on repeat the last.
  __device__ Copier(const float* matrix, int64_t stride, int first, int n, int begin, int thread)
      : row(thread / kQuads), column(thread % kQuads * 4) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i)
      from[i] = matrix + min(first + row + i * (kHalfThreads / kQuads), n - 1) * stride + begin + column;
  }
  /// Starts the copies of the next chunk, `step` columns before the one after it.
  __device__ void copy(float (&to)[kSide][kChunk], int step) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      copy_16(&to[row + i * (kHalfThreads / kQuads)][column], from[i]);
      from[i] += step;
    }
  }
};

/// Four values of a row in two parts each.
__device__ __forceinline__ void split(const float* row, uint32_t (&high)[4], uint32_t (&low)[4]) {
  const float4 x = *reinterpret_cast<const float4*>(row);
  const float values[] = {x.x, x.y, x.z, x.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    high[i] = __float_as_uint(values[i]) & 0xffffe000u;
    low[i] = __float_as_uint(values[i] - __uint_as_float(high[i]));
  }
}

__device__ __forceinline__ void multiply_add(float (&sums)[4], const uint32_t (&x)[4],
                                             const uint32_t (&w)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w[0]), "r"(w[1]));
}

using Sums = float[kTokenTiles][kRowTiles][4];

/// One of the three products of columns s and s + 1 of the lanes' four; all sums in turn, as each waits for
/// the one before.
__device__ __forceinline__ void multiply_part(const uint32_t (&upper)[kTokenTiles][4],
                                              const uint32_t (&lower)[kTokenTiles][4],
                                              const uint32_t (&rows)[kRowTiles][4], int s, Sums& sums) {
#pragma unroll
  for (int i = 0; i < kTokenTiles; ++i) {
    const uint32_t x[] = {upper[i][s], lower[i][s], upper[i][s + 1], lower[i][s + 1]};
#pragma unroll
    for (int j = 0; j < kRowTiles; ++j) {
      const uint32_t w[] = {rows[j][s], rows[j][s + 1]};
      multiply_add(sums[i][j], x, w);
    }
  }
}

/// A lane holds four neighbouring columns of a row; the tensor cores take two of them at a time, as if they
/// were four apart, which is the same to a sum.
__device__ __forceinline__ void multiply_chunk(const float (&tokens)[kSide][kChunk],
                                               const float (&rows)[kSide][kChunk], int first_token,
                                               int first_row, Sums& sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, r = lane / 4, k = lane % 4 * 4;
  uint32_t upper_high[kTokenTiles][4], upper_low[kTokenTiles][4], lower_high[kTokenTiles][4],
      lower_low[kTokenTiles][4], w_high[kRowTiles][4], w_low[kRowTiles][4];
#pragma unroll
  for (int i = 0; i < kTokenTiles; ++i) {
    split(&tokens[first_token + 16 * i + r][k], upper_high[i], upper_low[i]);
    split(&tokens[first_token + 16 * i + 8 + r][k], lower_high[i], lower_low[i]);
  }
#pragma unroll
  for (int j = 0; j < kRowTiles; ++j) split(&rows[first_row + 8 * j + r][k], w_high[j], w_low[j]);
#pragma unroll
  for (int s = 0; s < 4; s += 2) {
    multiply_part(upper_low, lower_low, w_high, s, sums);
    multiply_part(upper_high, lower_high, w_low, s, sums);
    multiply_part(upper_high, lower_high, w_high, s, sums);
  }
}

__global__ void __launch_bounds__(kThreads) router_tile_kernel(const TileArgs a) {
  __shared__ __align__(128) Chunks chunks;
  const int half = static_cast<int>(threadIdx.x) / kHalfThreads,
            thread = static_cast<int>(threadIdx.x) % kHalfThreads, warp = thread / kWarp,
            lane = thread % kWarp;
  const int n_row_tile = (a.n_out + kSide - 1) / kSide;
  const int first_row = static_cast<int>(blockIdx.x) % n_row_tile * kSide;
  const int first_token = static_cast<int>(blockIdx.x) / n_row_tile * kSide;
  constexpr int kStep = kHalves * kChunk;
  Copier rows(a.weights, a.n_in, first_row, a.n_out, half * kChunk, thread);
  Copier tokens(a.x, a.x_stride, first_token, a.n_token, half * kChunk, thread);
  const int n_chunk = a.n_in / kStep;
  const auto copy_rows = [&](int chunk) {
    if (chunk < n_chunk) rows.copy(chunks.rows[half][chunk % kStages], kStep);
  };
  const auto copy_tokens = [&](int chunk) {
    if (chunk < n_chunk) tokens.copy(chunks.tokens[half][chunk % kStages], kStep);
    end_copies();
  };
  for (int c = 0; c < kStages - 1; ++c) copy_rows(c);
  wait_for_previous();
  let_next_start();
  for (int c = 0; c < kStages - 1; ++c) copy_tokens(c);
  const int warp_token = warp / 2 * 32, warp_row = warp % 2 * 32;
  Sums sums = {};
  for (int c = 0; c < n_chunk; ++c) {
    wait_copies<kStages - 2>();
    __syncthreads();  // the chunk is there for all, and nobody multiplies the one before any more
    copy_rows(c + kStages - 1);
    copy_tokens(c + kStages - 1);
    multiply_chunk(chunks.tokens[half][c % kStages], chunks.rows[half][c % kStages], warp_token, warp_row,
                   sums);
  }
  __syncthreads();
  auto* second = reinterpret_cast<float*>(&chunks);  // [kTokenTiles * kRowTiles * 4, kHalfThreads]
  const auto at = [&](int i, int j, int s) { return ((i * kRowTiles + j) * 4 + s) * kHalfThreads + thread; };
#pragma unroll
  for (int n = 0; n < kTokenTiles * kRowTiles * 4; ++n) {
    const int i = n / 4 / kRowTiles, j = n / 4 % kRowTiles, s = n % 4;
    if (half == 1) second[at(i, j, s)] = sums[i][j][s];
  }
  __syncthreads();
  if (half == 1) return;
#pragma unroll
  for (int n = 0; n < kTokenTiles * kRowTiles * 4; ++n) {
    const int i = n / 4 / kRowTiles, j = n / 4 % kRowTiles, s = n % 4;
    const int t = first_token + warp_token + 16 * i + lane / 4 + s / 2 * 8;
    const int r = first_row + warp_row + 8 * j + lane % 4 * 2 + s % 2;
    const float y = sums[i][j][s] + second[at(i, j, s)];
    if (t < a.n_token && r < a.n_out) a.out[t * a.out_stride + r] = a.bias ? y + a.bias[r] : y;
  }
}

}  // namespace

bool takes_f32_tiles(const Linear& linear, TensorView<const float> x) {
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return linear.weight.type == Type::F32 && linear.n_in() % (kHalves * kChunk) == 0 && x.stride() % 4 == 0 &&
         aligned(x.data()) && aligned(linear.weight.data);
}

void multiply_f32_tiles(const Linear& linear, TensorView<const float> x, TensorView<float> out,
                        const float* bias, OpContext& context) {
  SW_ASSERT(takes_f32_tiles(linear, x));
  count_dense(context.counters, linear, x.n_rows());
  if (x.n_rows() == 0) return;
  const TileArgs args{.weights = reinterpret_cast<const float*>(linear.weight.data),
                      .x = x.data(),
                      .x_stride = x.stride(),
                      .n_in = static_cast<int>(linear.n_in()),
                      .n_out = static_cast<int>(linear.n_out()),
                      .n_token = static_cast<int>(x.n_rows()),
                      .bias = bias,
                      .out = out.data(),
                      .out_stride = out.stride()};
  const int64_t n_block = int64_t{n_blocks(args.n_out, kSide)} * n_blocks(args.n_token, kSide);
  launch_early(router_tile_kernel, n_blocks(n_block, 1), kThreads, 0, *context.cuda, args);
}

}  // namespace sw::cuda
