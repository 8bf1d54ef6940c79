// SPDX-License-Identifier: MIT
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/route/router_tiles.h"
#include "kernels/cuda/warp.cuh"

/// A router has few rows: a block makes 64 rows of 64 tokens, so that a batch of 2048 fills the GPU. Its two
/// halves take turns at the chunks of a row, and the second adds its sums to the first's in the end: one half
/// alone would wait for its reads.
namespace sw::cuda {
namespace {

constexpr int kSide = 64, kChunk = 16, kHalves = 2, kHalfThreads = 128, kThreads = kHalves * kHalfThreads;
/// Rows of a chunk lie so far apart that the eight which a warp reads at once are in different banks.
constexpr int kPitch = kChunk + 4;
constexpr int kTokens = 8, kRows = 4;  ///< of a thread

struct TileArgs {
  const float* weights;
  const float* x;
  int64_t x_stride;
  int n_in, n_out, n_token;
  const float* bias;  ///< or null
  float* out;
  int64_t out_stride;
};

/// Chunks of the tokens and of the weights, two of each per half: one is read from memory while the other is
/// multiplied.
struct Chunks {
  float tokens[kHalves][2][kSide][kPitch], rows[kHalves][2][kSide][kPitch];
};

/// 16 bytes from memory to shared memory, not waited for.
__device__ __forceinline__ void copy_quad(float* to, const float* from) {
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
}
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

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
  __device__ void copy(float (&to)[kSide][kPitch], int step) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      copy_quad(&to[row + i * (kHalfThreads / kQuads)][column], from[i]);
      from[i] += step;
    }
  }
};

/// Where a thread's tokens and rows stand in the tile: a warp has 32 by 32, a lane every fourth token and
/// every eighth row.
struct Place {
  int token, row;
  __device__ explicit Place(int thread)
      : token(thread / 64 * 32 + thread % 32 / 8), row(thread / 32 % 2 * 32 + thread % 8) {}
};

__device__ __forceinline__ void multiply_chunk(const float (&tokens)[kSide][kPitch],
                                               const float (&rows)[kSide][kPitch], const Place& place,
                                               float (&sums)[kTokens][kRows]) {
#pragma unroll
  for (int k = 0; k < kChunk; k += 4) {
    float4 x[kTokens], w[kRows];
#pragma unroll
    for (int i = 0; i < kTokens; ++i)
      x[i] = *reinterpret_cast<const float4*>(&tokens[place.token + 4 * i][k]);
#pragma unroll
    for (int j = 0; j < kRows; ++j) w[j] = *reinterpret_cast<const float4*>(&rows[place.row + 8 * j][k]);
#pragma unroll
    for (int i = 0; i < kTokens; ++i) {
#pragma unroll
      for (int j = 0; j < kRows; ++j) sums[i][j] = add_dot(sums[i][j], w[j], x[i]);
    }
  }
}

__global__ void __launch_bounds__(kThreads) router_tile_kernel(const TileArgs a) {
  __shared__ __align__(16) Chunks chunks;
  const int half = static_cast<int>(threadIdx.x) / kHalfThreads,
            thread = static_cast<int>(threadIdx.x) % kHalfThreads;
  const int n_row_tile = (a.n_out + kSide - 1) / kSide;
  const int first_row = static_cast<int>(blockIdx.x) % n_row_tile * kSide;
  const int first_token = static_cast<int>(blockIdx.x) / n_row_tile * kSide;
  const Place place(thread);
  constexpr int kStep = kHalves * kChunk;
  Copier rows(a.weights, a.n_in, first_row, a.n_out, half * kChunk, thread);
  Copier tokens(a.x, a.x_stride, first_token, a.n_token, half * kChunk, thread);
  float sums[kTokens][kRows] = {};
  rows.copy(chunks.rows[half][0], kStep);
  wait_for_previous();
  let_next_start();
  tokens.copy(chunks.tokens[half][0], kStep);
  for (int begin = 0, at = 0; begin < a.n_in; begin += kStep, at ^= 1) {
    wait_for_copies();
    __syncthreads();  // the chunk is there for all, and nobody multiplies the other any more
    if (begin + kStep < a.n_in) {
      rows.copy(chunks.rows[half][at ^ 1], kStep);
      tokens.copy(chunks.tokens[half][at ^ 1], kStep);
    }
    multiply_chunk(chunks.tokens[half][at], chunks.rows[half][at], place, sums);
  }
  __syncthreads();
  auto* second = reinterpret_cast<float*>(&chunks);  // [kTokens * kRows, kHalfThreads]
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
#pragma unroll
    for (int j = 0; j < kRows; ++j)
      if (half == 1) second[(i * kRows + j) * kHalfThreads + thread] = sums[i][j];
  }
  __syncthreads();
  if (half == 1) return;
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
    const int t = first_token + place.token + 4 * i;
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      const int r = first_row + place.row + 8 * j;
      const float y = sums[i][j] + second[(i * kRows + j) * kHalfThreads + thread];
      if (t < a.n_token && r < a.n_out) a.out[t * a.out_stride + r] = a.bias ? y + a.bias[r] : y;
    }
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
