// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/dequant.cuh"
#include "kernels/cuda/gated.cuh"
#include "kernels/cuda/warp.cuh"
#include "kernels/ops.h"

/// Products for few tokens, where reading the weights is all the cost: a warp per row of weights, each lane
/// every 32nd quad of it. Neighbouring lanes read neighbouring bytes.
namespace sw::cuda {

inline constexpr int kMatvecWarps = 8;  ///< rows of a block
inline constexpr int kMatvecThreads = kMatvecWarps * kWarp;

/// The row of weights that this warp of a matvec block multiplies, the block being the `block`-th of its
/// matrix.
__device__ __forceinline__ int64_t matvec_row(int64_t block) {
  return block * kMatvecWarps + threadIdx.x / kWarp;
}

/// Inputs of quantised weights are read by 16 bytes: their rows must begin at such addresses.
inline void check_input(Type weight, TensorView<const float> x) {
  SW_ASSERT(!traits(weight).quantized ||
            (reinterpret_cast<uintptr_t>(x.data()) % 16 == 0 && x.stride() % 4 == 0));
}
inline void check_input(const Linear& linear, TensorView<const float> x) {
  check_input(linear.weight.type, x);
}

template <class Format, bool kAligned, int kRows, int kTokens>
__device__ __forceinline__ void add_products(const uint8_t* const (&rows)[kRows], int n_in,
                                             const float* const (&inputs)[kTokens],
                                             float (&sum)[kRows][kTokens]) {
#pragma unroll(kRows* kTokens > 8 ? 1 : 4)
  for (int k = 4 * static_cast<int>(threadIdx.x % kWarp); k < n_in; k += 4 * kWarp) {
    float4 w[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) w[r] = Decoder<Format>::template quad<kAligned>(rows[r], k, n_in);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float4 x = load_quad<kAligned>(inputs[t] + k, n_in - k);
#pragma unroll
      for (int r = 0; r < kRows; ++r) sum[r][t] = add_dot(sum[r][t], w[r], x);
    }
  }
}

/// sum[r][t] = rows[r] . inputs[t], in all lanes of the warp. Inputs are any number of x_stride apart. A
/// sum's bits depend on its row and input alone, not on kRows and kTokens.
template <class Format, int kRows, int kTokens>
__device__ __forceinline__ void input_products(const uint8_t* const (&rows)[kRows], int n_in,
                                               const float* const (&inputs)[kTokens], int64_t x_stride,
                                               float (&sum)[kRows][kTokens]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) sum[r][t] = 0.0f;
  }
  bool aligned = true;  // where weights are quantised: see check_input
  if constexpr (Format::kBlockElems == 1) {
    aligned = n_in % 4 == 0 && x_stride % 4 == 0 && is_aligned(inputs[0], sizeof(float4));
    for (const uint8_t* row : rows) aligned = aligned && is_aligned(row, 4 * sizeof(typename Format::Block));
  }
  if (aligned) {
    add_products<Format, true>(rows, n_in, inputs, sum);
  } else {
    add_products<Format, false>(rows, n_in, inputs, sum);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) sum[r][t] = lane_sum(sum[r][t]);
  }
}

/// The same for n_token (1 .. kTokens) inputs `x_stride` apart; those beyond n_token repeat the last.
template <class Format, int kRows, int kTokens>
__device__ __forceinline__ void row_products(const uint8_t* const (&rows)[kRows], int n_in, const float* x,
                                             int64_t x_stride, int n_token, float (&sum)[kRows][kTokens]) {
  const float* inputs[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) inputs[t] = x + min(t, n_token - 1) * x_stride;
  input_products<Format>(rows, n_in, inputs, x_stride, sum);
}

/// row . x in all lanes of the warp.
template <class Format>
__device__ __forceinline__ float row_product(const uint8_t* row, int n_in, const float* x) {
  const uint8_t* rows[] = {row};
  float sum[1][1];
  row_products<Format>(rows, n_in, x, 0, 1, sum);
  return sum[0][0];
}

/// Gate and up, of one format and shape: [n_ff, n_embd].
struct GatePair {
  const uint8_t* gate = nullptr;
  const uint8_t* up = nullptr;
  int64_t row_bytes, n_ff;
  int n_embd;
  const float* gate_bias = nullptr;  ///< [n_ff], or null
  const float* up_bias = nullptr;
  float swiglu_limit = 0;  ///< 0: silu(gate) * up

  GatePair(Type type, int64_t n_ff, int64_t n_embd)
      : row_bytes(static_cast<int64_t>(sw::row_bytes(type, n_embd))),
        n_ff(n_ff),
        n_embd(static_cast<int>(n_embd)) {}
  GatePair(const Linear& gate_linear, const Linear& up_linear)
      : GatePair(gate_linear.weight.type, gate_linear.n_out(), gate_linear.n_in()) {
    gate = reinterpret_cast<const uint8_t*>(gate_linear.weight.data);
    up = reinterpret_cast<const uint8_t*>(up_linear.weight.data);
  }
};

/// hidden[r] = gated(gate x + bias, up x + bias) for row r, by one warp.
template <class Format>
__device__ __forceinline__ void write_gated(const GatePair& pair, int64_t r, const float* x, float* hidden) {
  const int64_t at = r * pair.row_bytes;
  const uint8_t* rows[] = {pair.gate + at, pair.up + at};
  float sum[2][1];
  row_products<Format>(rows, pair.n_embd, x, 0, 1, sum);
  if (threadIdx.x % kWarp != 0) return;
  const float g = pair.gate_bias ? sum[0][0] + pair.gate_bias[r] : sum[0][0];
  const float u = pair.up_bias ? sum[1][0] + pair.up_bias[r] : sum[1][0];
  hidden[r] = gated(g, u, pair.swiglu_limit);
}

}  // namespace sw::cuda
