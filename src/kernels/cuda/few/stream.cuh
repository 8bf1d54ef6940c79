// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/few/stream_copies.cuh"
#include "kernels/cuda/gated.cuh"
#include "kernels/cuda/launch.cuh"

/// Products of a few tokens with each of many matrices, where the bytes of the weights are all the cost: the
/// experts of a decode step of several sequences. A multiprocessor has one block that stays: it takes an even
/// share of the (tile, columns) items, one after the other. Each of its warps has 16 rows of the weights,
/// asks for the next slices of 256 weights, of the next item too, while it multiplies the one that has
/// arrived, and waits for the other warps only where the tile, and so the inputs, change.
namespace sw::cuda {

/// Where a lane's inputs of an item are, and the two rows of its slices.
template <class Format>
struct StreamLane {
  using Plan = StreamPlan<Format>;
  TileInputs inputs;  ///< at the slice
  int shifts[2];      ///< low bits of where its rows begin in global memory, at the slice

  __device__ __forceinline__ StreamLane(const StreamBlock<Format>& block, const StreamWalk& at) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, pitch = block.p.x.row_bytes();
    const uint8_t* x = block.tokens(at.tile);
    const auto scale = [&](int token) {
      return reinterpret_cast<const float2*>(x + token * pitch + block.p.first.n_in);
    };
    inputs = {x + lane / 4 * pitch, scale(lane % 4 * 2), scale(lane % 4 * 2 + 1)};
    if constexpr (Plan::kMostShift > 0) {
      const StreamTile& tile = block.tiles()[at.tile];
      const int64_t first = block.first_row(at.col);
#pragma unroll
      for (int q = 0; q < 2; ++q)
        shifts[q] =
            StreamCopies<Format>::shift(StreamCopies<Format>::row_of(block.p, tile, first, lane / 4 + 8 * q));
    }
  }
  __device__ __forceinline__ void next() {
    inputs.q += kStreamSlice;
    inputs.scale0 += kStreamSlice / Q8Input::kBlock;
    inputs.scale1 += kStreamSlice / Q8Input::kBlock;
    if constexpr (Plan::kMostShift > 0) {
#pragma unroll
      for (int q = 0; q < 2; ++q) shifts[q] = (shifts[q] + Plan::kBytes) & 15;
    }
  }
};

/// Once a slice has arrived: sum += products of `n_weight` elements.
template <class Format>
__device__ __forceinline__ void multiply_slice(const StreamLane<Format>& at, const uint8_t* raw,
                                               float* prepared, int n_weight, float (&sum)[4]) {
  using Plan = StreamPlan<Format>;
  using Dots = StreamDots<Format>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const uint8_t* rows[2];
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    rows[q] = raw + (lane / 4 + 8 * q) * Plan::kPitch;
    if constexpr (Plan::kMostShift > 0) rows[q] += at.shifts[q];
  }
  float* const own[2] = {prepared + lane / 4 * Plan::kPreparedPitch,
                         prepared + (lane / 4 + 8) * Plan::kPreparedPitch};
  if constexpr (Plan::kPrepared > 0) {
    // Lanes 0 and 1 of the four that share a row prepare its upper one, lanes 2 and 3 the lower.
    const int q = lane % 4 / 2;
    Dots::prepare(q == 0 ? rows[0] : rows[1], lane % 2, q == 0 ? own[0] : own[1]);
    __syncwarp();
  }
  if (n_weight >= kStreamSlice) {
#pragma unroll
    for (int step = 0; step < kStreamSlice / Dots::kStep; ++step)
      Dots::add(rows, step, {own[0], own[1]}, at.inputs, sum);
  } else {
#pragma unroll 1
    for (int step = 0; step < n_weight / Dots::kStep; ++step)
      Dots::add(rows, step, {own[0], own[1]}, at.inputs, sum);
  }
}

/// Writes an item's results: the lane has rows lane / 4 and lane / 4 + 8 of tokens 2 (lane % 4) and + 1.
template <class Format>
__device__ __forceinline__ void write_item(const StreamBlock<Format>& block, const StreamWalk& at,
                                           const float (&sum)[4]) {
  const StreamTile& tile = block.tiles()[at.tile];
  const StreamProduct& p = block.p;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int token = lane % 4 * 2 + i % 2;
    const int64_t r = block.first_row(at.col) + lane / 4 + i / 2 * 8;
    if (token >= tile.n_token || r >= p.n_out()) continue;
    const float* bias = tile.matrix == p.n_expert ? nullptr : p.first.bias;
    p.out[static_cast<int64_t>(tile.begin + token) * p.n_out() + r] =
        bias ? sum[i] + bias[tile.matrix * p.n_out() + r] : sum[i];
  }
}

/// Warps whose hidden values are a block of the next product's inputs.
inline constexpr int kQuartet = Q8Input::kBlock / (kStreamRows / 2);

/// The same of hidden values, which are rounded to blocks of 32: four warps exchange theirs in `shared`
/// [token][32], one of two that take turns.
template <class Format>
__device__ __forceinline__ void write_hidden(const StreamBlock<Format>& block, const StreamWalk& at,
                                             const float (&sum)[4], float* shared) {
  const StreamTile& tile = block.tiles()[at.tile];
  const StreamProduct& p = block.p;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t r = block.first_row(at.col) + lane / 4;
  const bool biased = r < p.n_out() && tile.matrix != p.n_expert;
  const int64_t at_bias = tile.matrix * p.n_out() + r;
  const float gate_bias = biased && p.first.bias ? p.first.bias[at_bias] : 0.0f,
              up_bias = biased && p.second.bias ? p.second.bias[at_bias] : 0.0f;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    shared[(lane % 4 * 2 + i) * Q8Input::kBlock + warp % kQuartet * 8 + lane / 4] =
        gated(sum[i] + gate_bias, sum[2 + i] + up_bias, p.swiglu_limit);
  }
  asm volatile("bar.sync %0, %1;" ::"r"(1 + warp / kQuartet), "n"(kQuartet * kWarp) : "memory");
  const int64_t first = block.first_row(at.col) - warp % kQuartet * 8;
  if (first >= p.n_out()) return;
#pragma unroll
  for (int token = warp % kQuartet; token < kTileTokens; token += kQuartet) {
    if (token >= tile.n_token) break;
    const float v = shared[token * Q8Input::kBlock + lane];
    uint32_t most = magnitude(v);
#pragma unroll
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      most = max(most, __shfl_xor_sync(kAllLanes, most, distance));
    const float largest = __uint_as_float(most), inverse = largest > 0 ? 127.0f / largest : 0.0f;
    const int q = __float2int_rn(v * inverse), sum_of_block = lane_sum(q);
    const auto n_out = static_cast<int>(p.n_out());
    const Q8Input to(p.hidden + static_cast<int64_t>(tile.begin + token) * Q8Input::bytes(n_out), n_out);
    to.q[first + lane] = static_cast<uint8_t>(static_cast<signed char>(q));
    const float scale = largest / 127.0f;
    if (lane == 0) to.scale[first / Q8Input::kBlock] = {scale, scale * static_cast<float>(sum_of_block)};
  }
}

template <class Format, int kStages, bool kGated>
__device__ __forceinline__ void stream_items(const StreamBlock<Format>& block) {
  using Plan = StreamPlan<Format>;
  __shared__ float hidden[2][kStreamWarps / kQuartet][kTileTokens * Q8Input::kBlock];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  uint8_t* const memory = block.warp_memory(warp);
  auto* const prepared = reinterpret_cast<float*>(memory + kStages * Plan::kStage);
  StreamCopies<Format> copies(block);
#pragma unroll
  for (int s = 0; s < kStages; ++s) copies.next(memory + s * Plan::kStage);
  int stage = 0;
  for (StreamWalk at(block.begin % block.n_col, block.n_item); at.n_left > 0; at.next(block.n_col)) {
    const bool there = block.tiles()[at.tile].first;
    float sum[4] = {};
    StreamLane<Format> lane(block, at);
    for (int slice = 0; slice < block.n_slice; ++slice) {
      wait_copies<kStages - 1>();
      if (slice == 0 && at.new_tile) {
        __syncthreads();
      } else {
        __syncwarp();
      }
      uint8_t* raw = memory + stage * Plan::kStage;
      if (there) multiply_slice(lane, raw, prepared, block.p.first.n_in - slice * kStreamSlice, sum);
      lane.next();
      __syncwarp();  // the stage is free
      copies.next(raw);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    if (!there) continue;
    if constexpr (kGated) {
      write_hidden(block, at, sum, hidden[at.n_left % 2][warp / kQuartet]);
    } else {
      write_item(block, at, sum);
    }
  }
  wait_copies<0>();
}

template <class Format, bool kGated>
__global__ void __launch_bounds__(kStreamThreads, 1) stream_kernel(const __grid_constant__ StreamProduct p) {
  extern __shared__ __align__(128) uint8_t shared[];
  if (!p.tiles_known) wait_for_previous();
  int n_tile = p.n_shared;  // those that have something to do stand before the others
  for (int first = 0; first < p.n_tile; first += kStreamThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    n_tile += __syncthreads_count(i < p.n_tile && p.tiles[i].matrix >= 0);
  }
  const int n_col = p.n_col();
  const int64_t n_item = int64_t{n_tile} * n_col;
  const auto begin = static_cast<int>(n_item * blockIdx.x / gridDim.x),
             end = static_cast<int>(n_item * (blockIdx.x + 1) / gridDim.x);
  const StreamBlock<Format> block{.p = p,
                                  .shared = shared,
                                  .n_col = n_col,
                                  .begin = begin,
                                  .n_item = end - begin,
                                  .n_slice = (p.first.n_in + kStreamSlice - 1) / kStreamSlice};
  block.find_tiles();
  if (p.tiles_known) wait_for_previous();
  let_next_start();
  if (p.shape.n_stage == 2) {
    stream_items<Format, 2, kGated>(block);
  } else {
    stream_items<Format, 4, kGated>(block);
  }
}

}  // namespace sw::cuda
