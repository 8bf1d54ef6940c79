// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/gated.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/mma_fragment.cuh"
#include "kernels/cuda/product/mma_stage.cuh"
#include "kernels/cuda/product/mma_warpgroup.cuh"

/// Products for many tokens on the tensor cores. A warp has 32 rows of weights, which it decodes from shared
/// memory straight into operands, and all tokens of the tile: each weight is decoded once per tile, and
/// decoded weights never pass through shared memory. The order of the elements in a sum is the warp's own:
/// lane l has elements 16 (l % 4) .. + 15 of 64 of the weights, and activations in bf16 are stored so that it
/// meets the same ones (operand_place()).
namespace sw::cuda {

__device__ __forceinline__ void multiply_bf16(float (&sums)[4], const uint32_t (&w)[4], uint32_t x0,
                                              uint32_t x1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x0), "r"(x1));
}
__device__ __forceinline__ void multiply_tf32(float (&sums)[4], const uint32_t (&w)[4], uint32_t x0,
                                              uint32_t x1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x0), "r"(x1));
}

/// An f32 as two values that tf32 has without rounding but for the last two bits.
struct SplitF32 {
  uint32_t high, low;
  __device__ __forceinline__ explicit SplitF32(float x) {
    high = __float_as_uint(x) & 0xffffe000u;
    low = __float_as_uint(x - __uint_as_float(high));
  }
};

/// A warp's sums: [2][eights of tokens][4] as the instruction lays them out.
template <class Plan>
struct MmaSums {
  static constexpr int kEights = Plan::kTokens / 8;
  float sum[2][kEights][4];

  __device__ __forceinline__ MmaSums() {
#pragma unroll
    for (int f = 0; f < 2; ++f) {
#pragma unroll
      for (int n = 0; n < kEights; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[f][n][i] = 0.0f;
      }
    }
  }
  __device__ __forceinline__ void add(const MmaSums& other, int n_token) {
#pragma unroll
    for (int n = 0; n < kEights; ++n) {
      if (n / 2 * 16 >= n_token) break;
#pragma unroll
      for (int f = 0; f < 2; ++f) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[f][n][i] += other.sum[f][n][i];
      }
    }
  }
};

/// Of eight tokens, the operands of two instructions: chunks c to c + 3, a register of each.
__device__ __forceinline__ uint4 token_operands(const uint8_t* stage, int eight, int c) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, token = 8 * eight + lane % 8;
  const uint8_t* chunk = stage + token * kTokenBytes + chunk_place(token, c + lane / 8) * kChunkBytes;
  uint4 x;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(chunk)))
               : "memory");
  return x;
}
/// Four floats of the token that is the lane's among eight.
__device__ __forceinline__ float4 token_floats(const uint8_t* stage, int eight, int c) {
  const int token = 8 * eight + static_cast<int>(threadIdx.x % kWarp) / 4;
  return *reinterpret_cast<const float4*>(stage + token * kTokenBytes + chunk_place(token, c) * kChunkBytes);
}

/// A lane's share of a step: where its four rows of weights are, which part of them is its own, what was
/// prepared of the first row, and the activations.
struct MmaStep {
  const uint8_t* rows[4];
  unsigned part;
  const uint2* scales;
  const uint8_t* stage;
};

template <class Format, class Plan>
__device__ __forceinline__ void decode_step(const MmaStep& step, uint32_t (&pairs)[4][8]) {
#pragma unroll
  for (int q = 0; q < 4; ++q)
    Fragment<Format>::decode(step.rows[q], step.part, step.scales + 8 * q * Plan::kScalePitch, pairs[q]);
}

/// sums += weights x activations over a step.
template <class Format, class Plan>
__device__ __forceinline__ void multiply_step(const MmaStep& step, int n_token, MmaSums<Plan>& sums) {
  uint32_t w[4][8];
  decode_step<Format, Plan>(step, w);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int n = 0; n < MmaSums<Plan>::kEights; ++n) {
      if (n / 2 * 16 >= n_token) break;
      const uint4 x = token_operands(step.stage, n, 4 * half);
#pragma unroll
      for (int f = 0; f < 2; ++f) {
        const int q = 2 * f, at = 4 * half;
        multiply_bf16(sums.sum[f][n], {w[q][at], w[q + 1][at], w[q][at + 1], w[q + 1][at + 1]}, x.x, x.y);
        multiply_bf16(sums.sum[f][n], {w[q][at + 2], w[q + 1][at + 2], w[q][at + 3], w[q + 1][at + 3]}, x.z,
                      x.w);
      }
    }
  }
}

/// The same in f32: both factors are split in two, and the product of the two low parts left out. Sums of 32
/// elements are added in f32, as the tensor cores' own additions cut off.
template <class Plan>
__device__ __forceinline__ void multiply_step_f32(const MmaStep& step, int n_token, MmaSums<Plan>& sums) {
  MmaSums<Plan> of_step;
  const int lane_part = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int quad = 0; quad < Plan::kLaneElems / 4; ++quad) {
    uint32_t high[4][4], low[4][4];
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const uint4 w = load_16_bytes(step.rows[q] + 32 * step.part + 16 * quad);
      const uint32_t values[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const SplitF32 split(__uint_as_float(values[i]));
        high[q][i] = split.high;
        low[q][i] = split.low;
      }
    }
#pragma unroll
    for (int n = 0; n < MmaSums<Plan>::kEights; ++n) {
      if (n / 2 * 16 >= n_token) break;
      const float4 x = token_floats(step.stage, n, 2 * lane_part + quad);
      const SplitF32 x_parts[4] = {SplitF32(x.x), SplitF32(x.y), SplitF32(x.z), SplitF32(x.w)};
#pragma unroll
      for (int f = 0; f < 2; ++f) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          const SplitF32 &a = x_parts[i], &b = x_parts[i + 1];
          const uint32_t w_high[4] = {high[2 * f][i], high[2 * f + 1][i], high[2 * f][i + 1],
                                      high[2 * f + 1][i + 1]};
          const uint32_t w_low[4] = {low[2 * f][i], low[2 * f + 1][i], low[2 * f][i + 1],
                                     low[2 * f + 1][i + 1]};
          multiply_tf32(of_step.sum[f][n], w_low, a.high, b.high);
          multiply_tf32(of_step.sum[f][n], w_high, a.low, b.low);
          multiply_tf32(of_step.sum[f][n], w_high, a.high, b.high);
        }
      }
    }
  }
  sums.add(of_step, n_token);
}

/// Adds the sums of the warps that share results to those of the first of them, in their order. Returns
/// whether this warp is a first one.
template <class Plan>
__device__ __forceinline__ bool add_splits(MmaSums<Plan>& sums, int split, int row_warp, float* shared) {
  if constexpr (Plan::kSplit == 1) return true;
  constexpr int kPerWarp = sizeof(MmaSums<Plan>) / sizeof(float) * kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto each = [&](int s, auto&& f) {
    float* of_warp = shared + (s * Plan::kRowWarps + row_warp) * kPerWarp + lane;
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int n = 0; n < MmaSums<Plan>::kEights; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          f(sums.sum[m][n][i], of_warp[((m * MmaSums<Plan>::kEights + n) * 4 + i) * kWarp]);
      }
    }
  };
  __syncthreads();  // the stages are no longer read
  if (split > 0) each(split - 1, [](float sum, float& to) { to = sum; });
  __syncthreads();
  if (split > 0) return false;
  for (int s = 0; s < Plan::kSplit - 1; ++s) each(s, [](float& sum, float from) { sum += from; });
  return true;
}

__device__ __forceinline__ float4 sum_of(float4 a, float4 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

/// Writes one token's four neighbouring results, from column r on.
__device__ __forceinline__ void write_results(const MmaArgs& a, const Tile& tile, int64_t m, int64_t r,
                                              float4 y) {
  const int64_t at = tile.matrix * a.out_step + m * a.out_stride + r;
  const float* bias = a.first.bias ? a.first.bias + tile.matrix * a.n_out + r : nullptr;
  if (a.out_aligned) {
    if (bias) y = sum_of(y, *reinterpret_cast<const float4*>(bias));
    if (a.out_bf16) {
      *reinterpret_cast<uint2*>(a.out_bf16 + at) = {packed_bf16(y.x, y.y), packed_bf16(y.z, y.w)};
    } else {
      auto& out = *reinterpret_cast<float4*>(a.out + at);
      out = a.add ? sum_of(out, y) : y;
    }
    return;
  }
  const float values[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (r + i >= a.n_out) break;
    const float sum = bias ? values[i] + bias[i] : values[i];
    if (a.out_bf16) {
      a.out_bf16[at + i] = static_cast<uint16_t>(packed_bf16(sum, 0.0f));
    } else {
      a.out[at + i] = a.add ? a.out[at + i] + sum : sum;
    }
  }
}

/// Writes one token's hidden values r and r + 1, from two gates and what they scale; 0 beyond the last one.
__device__ __forceinline__ void write_hidden(const MmaArgs& a, const Tile& tile, int64_t m, int64_t r,
                                             float4 y) {
  const float gates[2] = {y.x, y.y}, ups[2] = {y.z, y.w};
  float h[2] = {};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (r + i >= a.n_out) break;
    const int64_t at = tile.matrix * a.n_out + r + i;
    const float gate = a.first.bias ? gates[i] + a.first.bias[at] : gates[i];
    const float up = a.second.bias ? ups[i] + a.second.bias[at] : ups[i];
    h[i] = gated(gate, up, a.swiglu_limit);
  }
  *reinterpret_cast<uint32_t*>(a.out_bf16 + m * a.out_stride + operand_place(r)) = packed_bf16(h[0], h[1]);
}

template <class Plan>
__device__ __forceinline__ void write_sums(const MmaBlock<Plan>& block, const MmaSums<Plan>& sums,
                                           int row_warp) {
  const MmaArgs& a = block.a;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t r = block.col_begin + (a.gated ? 16 * row_warp + lane / 4 * 2 : 32 * row_warp + lane / 4 * 4);
  if (r >= (a.gated ? bf16_stride(a.n_out) : a.n_out)) return;
#pragma unroll
  for (int n = 0; n < MmaSums<Plan>::kEights; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int token = 8 * n + lane % 4 * 2 + i;
      if (token >= block.n_token) continue;
      const float4 y = {sums.sum[0][n][i], sums.sum[0][n][2 + i], sums.sum[1][n][i], sums.sum[1][n][2 + i]};
      if (a.gated) {
        write_hidden(a, block.tile, block.tile.begin + token, r, y);
      } else {
        write_results(a, block.tile, block.tile.begin + token, r, y);
      }
    }
  }
}

/// The first row of a tile's matrix; null: nothing to do, or another product multiplies it.
__device__ __forceinline__ const uint8_t* mma_matrix(const MmaArgs& a, const MmaMatrices& of,
                                                     int32_t matrix) {
  if (of.even) return of.even + matrix * a.n_out * a.row_bytes;
  const ExpertMatrix listed = load_expert(of.table, matrix);
  return listed.type == a.type ? reinterpret_cast<const uint8_t*>(listed.data) : nullptr;
}

/// The index-th tile. Where all rows meet each matrix, those of the first matrix come first.
__device__ __forceinline__ Tile mma_tile(const MmaArgs& a, int64_t index, int n_most) {
  if (a.tiles) return a.tiles[index];
  const int64_t n_row_tile = (a.n_row + n_most - 1) / n_most, begin = index % n_row_tile * n_most;
  return {static_cast<int32_t>(index / n_row_tile), static_cast<int32_t>(begin),
          static_cast<int32_t>(min(begin + n_most, a.n_row))};
}

/// All steps of a block, whose rows have been found: even(step) and odd(step) in turn.
template <class Format, class Plan, class Even, class Odd>
__device__ __forceinline__ void for_each_step(const MmaBlock<Plan>& block, int row_warp, int split,
                                              Even&& even, Odd&& odd) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, first_row = 32 * row_warp + lane / 4;
  const int n_step = (block.a.n_in + Plan::kStepDepth - 1) / Plan::kStepDepth;
  block.begin(n_step);
  int shifts[4];
#pragma unroll
  for (int q = 0; q < 4; ++q)
    shifts[q] = static_cast<int>(reinterpret_cast<uintptr_t>(block.weight_rows[first_row + 8 * q]) & 15);
  const auto run = [&](int s, auto&& of_step) {
    block.advance(s, n_step);
    const int index = s / Plan::kRawSteps;
    if constexpr (Plan::kPrepares) {
      if (s % Plan::kRawSteps == 0) block.template prepare<Format>(index);
    }
    MmaStep step;
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int shift =
          Plan::kMostShift == 0 || Plan::kPrepares ? 0 : (shifts[q] + index * Plan::kRawBytes) & 15;
      step.rows[q] = block.raw + index % Plan::kRawStages * Plan::kRawStage +
                     (first_row + 8 * q) * Plan::kRawPitch + shift;
    }
    step.part = (s % Plan::kRawSteps * Plan::kSplit + split) * 4 + lane % 4;
    step.scales = block.scales + first_row * Plan::kScalePitch;
    step.stage = block.tokens + s % kMmaStages * Plan::kTokenStage + split * Plan::kTokens * kTokenBytes;
    of_step(step);
  };
  for (int s = 0;; s += 2) {
    run(s, even);
    if (s + 1 >= n_step) break;  // not "else": the compiler must see that no two even steps follow each other
    run(s + 1, odd);
    if (s + 2 >= n_step) break;
  }
}

template <class Format, class Plan>
__device__ __forceinline__ void multiply_block(const MmaBlock<Plan>& block, int row_warp, int split,
                                               MmaSums<Plan>& sums) {
#ifdef SW_WARPGROUPS
  if constexpr (Plan::kSplit == 1 && !Plan::kIsF32) {
    with_width<Plan::kTokens>(block.n_token, [&]<int kWidth>() {
      // Weights of one step are decoded while those of the one before are multiplied.
      uint32_t w[2][4][8];
      const auto multiply = [&](const MmaStep& step, uint32_t(&decoded)[4][8]) {
        decode_step<Format, Plan>(step, decoded);
        keep_before(decoded);
        wait_for_warpgroup();
        multiply_warpgroup<kWidth>(decoded, step.stage, sums.sum);
      };
      for_each_step<Format>(
          block, row_warp, split, [&](const MmaStep& step) { multiply(step, w[0]); },
          [&](const MmaStep& step) { multiply(step, w[1]); });
      wait_for_warpgroup();
    });
    return;
  }
#endif
  const auto multiply = [&](const MmaStep& step) {
    if constexpr (Plan::kIsF32) {
      multiply_step_f32<Plan>(step, block.n_token, sums);
    } else {
      multiply_step<Format, Plan>(step, block.n_token, sums);
    }
  };
  for_each_step<Format>(block, row_warp, split, multiply, multiply);
}

/// kResident: blocks that a multiprocessor has registers for at once.
template <class Format, int kTokens, int kSplit, int kResident>
__global__ void __launch_bounds__(kMmaThreads, kResident) mma_kernel(const __grid_constant__ MmaArgs a) {
  using Plan = MmaPlan<Format, kTokens, kSplit>;
  extern __shared__ __align__(1024) uint8_t shared[];
  wait_for_previous();
  let_next_start();
  const int64_t block_rows = a.gated ? Plan::kRows / 2 : Plan::kRows;
  const int64_t n_col = mma_columns(a, Plan::kRows);
  const Tile tile = mma_tile(a, blockIdx.x / n_col, kTokens);
  if (tile.matrix < 0) return;
  const uint8_t* first = mma_matrix(a, a.first, tile.matrix);
  const uint8_t* second = a.gated ? mma_matrix(a, a.second, tile.matrix) : first;
  if (!first || !second) return;  // the whole block: before any barrier

  auto** tables = reinterpret_cast<const uint8_t**>(shared + Plan::kSharedBytes - Plan::kTableBytes);
  uint8_t* raw = shared + kMmaStages * Plan::kTokenStage;
  const int64_t to_last = (a.n_out - 1) * a.row_bytes;
  const MmaBlock<Plan> block{.a = a,
                             .tile = tile,
                             .n_token = tile.end - tile.begin,
                             .col_begin = blockIdx.x % n_col * block_rows,
                             .tokens = shared,
                             .raw = raw,
                             .scales = reinterpret_cast<uint2*>(raw + Plan::kRawStages * Plan::kRawStage),
                             .weight_rows = tables,
                             .token_rows = tables + Plan::kRows,
                             .last_rows = {first + to_last, second + to_last}};
  block.find_rows(first, second);
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / kWarp, row_warp = warp / kSplit, split = warp % kSplit;
  MmaSums<Plan> sums;
  multiply_block<Format>(block, row_warp, split, sums);
  if (add_splits<Plan>(sums, split, row_warp, reinterpret_cast<float*>(shared)))
    write_sums<Plan>(block, sums, row_warp);
}

}  // namespace sw::cuda
