// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/lane_tiles.cuh"
#include "kernels/cuda/product/mma_fragment.cuh"
#include "kernels/cuda/product/mma_launch.h"

namespace sw::cuda {
namespace {

constexpr int kLaneTileRows = 64;  ///< without tiles

bool is_multiple(const void* p, uintptr_t n_bytes) { return reinterpret_cast<uintptr_t>(p) % n_bytes == 0; }

int64_t n_matrices(const TiledProduct& p) {
  const Shape& shape = p.weight.shape;
  return shape.n_dims() == 3 ? shape[0] : 1;
}
int64_t n_rows(const TiledProduct& p) { return p.out_bf16.empty() ? p.out.n_rows() : p.out_bf16.n_rows(); }
int64_t n_outs(const TiledProduct& p) {
  const Shape& shape = p.weight.shape;
  return shape[shape.n_dims() - 2];
}

void multiply_lane_tiles(const TiledProduct& p, OpContext& context) {
  SW_ASSERT(!p.gated && p.out_bf16.empty());
  const int tile_rows = p.tiles ? p.tile_rows : kLaneTileRows;
  const int64_t n_row = p.out.n_rows();
  const int64_t n_tile = p.tiles ? p.n_tile : n_matrices(p) * ((n_row + tile_rows - 1) / tile_rows);
  const TileArgs args{.weights = reinterpret_cast<const uint8_t*>(p.weight.data),
                      .table = p.table,
                      .type = p.weight.type,
                      .row_bytes = static_cast<int64_t>(p.weight.row_size_bytes()),
                      .n_out = n_outs(p),
                      .n_in = static_cast<int>(p.weight.shape.n_cols()),
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
                      .tiles = p.tiles,
                      .tile_rows = tile_rows};
  const unsigned blocks = n_blocks(n_tile * ((args.n_out + kLaneCols - 1) / kLaneCols), 1);
  with_gpu_type(p.weight.type, [&]<class Format>() {
    lane_tiles_kernel<Format><<<blocks, kMatvecThreads, 0, context.cuda->stream()>>>(args);
    SW_CUDA_LAUNCHED();
  });
}

/// How long a step of a block takes on an H200, in microseconds: alone on its multiprocessor, and among many.
struct StepTime {
  MmaShape shape;
  double alone, among_many;
};
constexpr StepTime kStepTimes[] = {
    {{128, 1}, 1.25, 0.95}, {{64, 1}, 1.0, 0.58}, {{64, 2}, 1.75, 0.92}, {{16, 4}, 2.0, 0.46}};

/// Time of a product on the multiprocessor that has most blocks.
double expected_time(const TiledProduct& p, const StepTime& time, int n_multiprocessor) {
  const MmaShape shape = time.shape;
  const int64_t n_row = n_rows(p), n_row_tile = (n_row + shape.tokens - 1) / shape.tokens;
  const int64_t block_rows = shape.weight_rows() / (p.gated ? 2 : 1), depth = 64 * shape.split;
  const int64_t blocks = n_matrices(p) * n_row_tile * ((n_outs(p) + block_rows - 1) / block_rows);
  const int64_t most = (blocks + n_multiprocessor - 1) / n_multiprocessor;
  const double full = n_row < shape.tokens ? 0.5 + 0.5 * static_cast<double>(n_row) / shape.tokens : 1.0;
  const auto n_step = static_cast<double>((p.weight.shape.n_cols() + depth - 1) / depth);
  return n_step * std::max(time.alone, static_cast<double>(most) * time.among_many * full);
}

MmaShape choose_shape(const TiledProduct& p, const Queue& queue) {
  MmaShape best = {};
  double least = 0;
  for (const StepTime& time : kStepTimes) {
    const MmaShape shape = time.shape;
    if (p.tiles ? shape.tokens != p.tile_rows || (shape.tokens == 64 && shape.split > 1)
                : mma_shared_bytes(p.weight.type, shape) > static_cast<size_t>(queue.most_shared_bytes()))
      continue;
    const double expected = expected_time(p, time, queue.n_multiprocessor());
    if (best.tokens > 0 && expected >= least) continue;
    best = shape;
    least = expected;
  }
  SW_ASSERT(best.tokens > 0);
  return best;
}

void multiply_mma(const TiledProduct& p, OpContext& context) {
  const bool bf16 = wants_bf16(p.weight.type, false);
  SW_ASSERT(bf16 ? !p.x_bf16.empty() && is_multiple(p.x_bf16.data(), 16) &&
                       p.x_bf16.stride() >= bf16_stride(p.x_bf16.n_cols()) && p.x_step % 8 == 0
                 : !p.x.empty() && !p.gated);
  const GatedProduct none, &gated = p.gated ? *p.gated : none;
  const bool to_bf16 = !p.out_bf16.empty();
  SW_ASSERT(to_bf16 ? !p.add && p.out_step == 0 : !p.gated);
  const int64_t n_out = n_outs(p), out_stride = to_bf16 ? p.out_bf16.stride() : p.out.stride();
  SW_ASSERT(!p.gated || out_stride >= bf16_stride(n_out));
  const bool out_aligned = n_out % 4 == 0 && out_stride % 4 == 0 && p.out_step % 4 == 0 &&
                           is_multiple(p.bias, 16) &&
                           (to_bf16 ? is_multiple(p.out_bf16.data(), 8) : is_multiple(p.out.data(), 16));
  const MmaArgs args{
      .first = {reinterpret_cast<const uint8_t*>(p.weight.data), p.table, p.bias},
      .second = {reinterpret_cast<const uint8_t*>(gated.data), gated.table, gated.bias},
      .gated = p.gated != nullptr,
      .swiglu_limit = gated.swiglu_limit,
      .type = p.weight.type,
      .row_bytes = static_cast<int64_t>(p.weight.row_size_bytes()),
      .n_out = n_out,
      .n_in = static_cast<int>(p.weight.shape.n_cols()),
      .x = bf16 ? static_cast<const void*>(p.x_bf16.data()) : p.x.data(),
      .x_stride = bf16 ? p.x_bf16.stride() : p.x.stride(),
      .x_step = p.x_step,
      .x_aligned = bf16 || (is_multiple(p.x.data(), 16) && p.x.stride() % 4 == 0 && p.x_step % 4 == 0),
      .x_rows = p.x_rows,
      .out = p.out.data(),
      .out_bf16 = p.out_bf16.data(),
      .out_stride = out_stride,
      .out_step = p.out_step,
      .n_row = n_rows(p),
      .out_aligned = out_aligned,
      .add = p.add,
      .tiles = p.tiles,
      .n_tile = p.tiles ? p.n_tile : n_matrices(p)};
  launch_mma(args, choose_shape(p, *context.cuda), context);
}

constexpr int kRoundThreads = 256;

/// A thread per eight values as they are stored: the pairs i of four lanes.
__global__ void round_kernel(const float* x, int64_t x_stride, int64_t x_step, int64_t n_row, int n,
                             bool aligned, int64_t n_item, uint16_t* out, int64_t out_stride) {
  wait_for_previous();
  let_next_start();
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kRoundThreads + threadIdx.x;
  if (item >= n_item) return;
  const auto per_row = static_cast<int>(bf16_stride(n) / 8);
  const int64_t row = item / per_row;
  const int i = static_cast<int>(item % per_row), first = i / 8 * 64 + i % 8 * 2;
  const float* from = x + row / n_row * x_step + row % n_row * x_stride;
  uint32_t pairs[4];
#pragma unroll
  for (int lane = 0; lane < 4; ++lane) {
    const int k = first + 16 * lane;
    float2 pair = {};
    if (aligned && k < n) {
      pair = *reinterpret_cast<const float2*>(from + k);
    } else if (k < n) {
      pair = {from[k], k + 1 < n ? from[k + 1] : 0.0f};
    }
    pairs[lane] = packed_bf16(pair.x, pair.y);
  }
  *reinterpret_cast<uint4*>(out + row * out_stride + 8 * i) = {pairs[0], pairs[1], pairs[2], pairs[3]};
}

}  // namespace

void multiply_tiles(const TiledProduct& p, OpContext& context) {
  const int64_t n_row = n_rows(p);
  if (n_row == 0 || (p.tiles && p.n_tile == 0)) return;
  SW_ASSERT(n_row <= INT32_MAX);
  p.row_invariant ? multiply_lane_tiles(p, context) : multiply_mma(p, context);
}

void round_to_bf16(TensorView<const float> x, int64_t n_matrix, int64_t x_step, TensorView<uint16_t> out,
                   OpContext& context) {
  const int n = static_cast<int>(x.n_cols());
  SW_ASSERT(out.n_rows() == n_matrix * x.n_rows() && out.n_cols() == n && out.stride() >= bf16_stride(n));
  const int64_t n_item = n_matrix * x.n_rows() * (bf16_stride(n) / 8);
  if (n_item == 0) return;
  const bool aligned =
      n % 2 == 0 && x.stride() % 2 == 0 && x_step % 2 == 0 && is_multiple(x.data(), sizeof(float2));
  launch_early(round_kernel, n_blocks(n_item, kRoundThreads), kRoundThreads, 0, *context.cuda, x.data(),
               x.stride(), x_step, x.n_rows(), n, aligned, n_item, out.data(), out.stride());
}

int sorted_tile_rows(int64_t n_row, int64_t n_expert, std::span<const ExpertFormat> formats,
                     const Queue& queue) {
  const auto fits = [&](MmaShape shape) {
    return std::all_of(formats.begin(), formats.end(), [&](const ExpertFormat& format) {
      return mma_shared_bytes(format.type, shape) <= static_cast<size_t>(queue.most_shared_bytes());
    });
  };
  // Formats of small blocks gain more from decoding weights once than they lose by fewer blocks at a time.
  const bool small_blocks = std::any_of(formats.begin(), formats.end(), [](const ExpertFormat& format) {
    return traits(format.type).block_elems < 256;
  });
  const int64_t mean = n_row / std::max<int64_t>(n_expert, 1);
  if (mean > (small_blocks ? 32 : 96) && fits({128, 1})) return 128;
  if (mean > 4 && fits({64, 1})) return 64;
  return kLeastTileRows;
}

}  // namespace sw::cuda
