// SPDX-License-Identifier: MIT
#include <cuda_bf16.h>

#include "kernels/cuda/dequant.cuh"
#include "kernels/cuda/gated.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/product/linear.h"

namespace sw::cuda {
namespace {

constexpr int kGateThreads = 256;

struct NormArgs {
  const float* x;
  int64_t x_stride;
  const int32_t* rows;  ///< or null
  const float* weight;
  float eps;
  int n;
  float* out;  ///< or null
  int64_t out_stride;
  uint16_t* out_bf16;  ///< or null
  int64_t bf16_stride;
};

__device__ __forceinline__ uint16_t bf16_bits(float x) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

/// Writes `n` values, at most four.
template <bool kAligned>
__device__ __forceinline__ void write_quad(float* out, int n, float4 x) {
  if constexpr (kAligned) {
    *reinterpret_cast<float4*>(out) = x;
  } else {
    const float values[] = {x.x, x.y, x.z, x.w};
    for (int i = 0; i < 4 && i < n; ++i) out[i] = values[i];
  }
}
template <bool kAligned>
__device__ __forceinline__ void write_quad(uint16_t* out, int n, float4 x) {
  const ushort4 bits = {bf16_bits(x.x), bf16_bits(x.y), bf16_bits(x.z), bf16_bits(x.w)};
  if constexpr (kAligned) {
    *reinterpret_cast<ushort4*>(out) = bits;
  } else {
    const uint16_t values[] = {bits.x, bits.y, bits.z, bits.w};
    for (int i = 0; i < 4 && i < n; ++i) out[i] = values[i];
  }
}

template <bool kAligned>
__device__ __forceinline__ void write_normed(const NormArgs& a, int64_t row, int k, float4 x) {
  if (a.out) write_quad<kAligned>(a.out + row * a.out_stride + k, a.n - k, x);
  if (a.out_bf16) write_quad<kAligned>(a.out_bf16 + row * a.bf16_stride + k, a.n - k, x);
}

/// A block per row, which it reads once: a thread keeps its kQuads quads. For widths that are multiples of 4
/// and aligned. In place is safe: a thread writes only what it alone has read.
template <int kQuads>
__global__ void __launch_bounds__(kNormThreads) rms_norm_kernel(const NormArgs a) {
  constexpr bool kWeightsFirst = kQuads <= 8;  // else there are too few registers
  const int64_t t = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x), begin = 4 * thread;
  float4 x[kQuads], weight[kQuads];
  const auto read = [&](const float* from, float4(&to)[kQuads]) {
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
      const int k = begin + i * kNormStep;
      to[i] = k < a.n ? load_quad<true>(from + k, 4) : float4{};
    }
  };
  if (kWeightsFirst) read(a.weight, weight);
  wait_for_previous();
  let_next_start();
  read(a.x + (a.rows ? a.rows[t] : t) * a.x_stride, x);
  float4 squares = {};
#pragma unroll
  for (int i = 0; i < kQuads; ++i) add_squares(squares, x[i]);
  __shared__ float parts[kNormParts];
  share_squares(squares, thread, parts);
  if (!kWeightsFirst) read(a.weight, weight);
  __syncthreads();
  const float scale = scale_of(parts, a.n, a.eps);
#pragma unroll
  for (int i = 0; i < kQuads; ++i) {
    const int k = begin + i * kNormStep;
    if (k < a.n) write_normed<true>(a, t, k, normed_quad(x[i], scale, weight[i]));
  }
}

/// The same for any width and address, with two reads of a row.
__global__ void __launch_bounds__(kNormThreads) rms_norm_any_kernel(const NormArgs a) {
  wait_for_previous();
  let_next_start();
  const int64_t t = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const float* row = a.x + (a.rows ? a.rows[t] : t) * a.x_stride;
  float4 squares = {};
#pragma unroll 4
  for (int k = 4 * thread; k < a.n; k += kNormStep) add_squares(squares, load_quad<false>(row + k, a.n - k));
  __shared__ float parts[kNormParts];
  share_squares(squares, thread, parts);
  __syncthreads();
  const float scale = scale_of(parts, a.n, a.eps);
  for (int k = 4 * thread; k < a.n; k += kNormStep) {
    const int left = a.n - k;
    write_normed<false>(
        a, t, k, normed_quad(load_quad<false>(row + k, left), scale, load_quad<false>(a.weight + k, left)));
  }
}

using NormKernel = void (*)(NormArgs);

NormKernel norm_kernel(const NormArgs& a) {
  const auto by_quads = [](const void* p, int64_t stride, size_t quad_bytes) {
    return reinterpret_cast<uintptr_t>(p) % quad_bytes == 0 && stride % 4 == 0;
  };
  const bool aligned = a.n % 4 == 0 && by_quads(a.x, a.x_stride, 16) && by_quads(a.weight, 0, 16) &&
                       by_quads(a.out, a.out_stride, 16) && by_quads(a.out_bf16, a.bf16_stride, 8);
  if (!aligned) return rms_norm_any_kernel;
  if (a.n <= 2 * kNormStep) return rms_norm_kernel<2>;
  if (a.n <= 4 * kNormStep) return rms_norm_kernel<4>;
  if (a.n <= 8 * kNormStep) return rms_norm_kernel<8>;
  if (a.n <= 16 * kNormStep) return rms_norm_kernel<16>;
  if (a.n <= 28 * kNormStep) return rms_norm_kernel<28>;
  return rms_norm_any_kernel;
}

__global__ void gate_mul_kernel(const float* gate, const float* up, float swiglu_limit, int64_t n,
                                float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kGateThreads + threadIdx.x;
  if (i < n) out[i] = gated(gate[i], up[i], swiglu_limit);
}

}  // namespace

void rms_norm(TensorView<const float> x, const int32_t* rows, const float* weight, float eps,
              TensorView<float> out, OpContext& context, TensorView<uint16_t> out_bf16) {
  const int64_t n_row = out.empty() ? out_bf16.n_rows() : out.n_rows();
  SW_ASSERT(out_bf16.empty() || (out_bf16.n_rows() == n_row && out_bf16.n_cols() == x.n_cols()));
  if (n_row == 0) return;
  const NormArgs args{.x = x.data(),
                      .x_stride = x.stride(),
                      .rows = rows,
                      .weight = weight,
                      .eps = eps,
                      .n = static_cast<int>(x.n_cols()),
                      .out = out.data(),
                      .out_stride = out.stride(),
                      .out_bf16 = out_bf16.data(),
                      .bf16_stride = out_bf16.stride()};
  launch_early(norm_kernel(args), n_blocks(n_row, 1), kNormThreads, 0, *context.cuda, args);
}

void gate_mul(const float* gate, const float* up, float swiglu_limit, int64_t n, float* out,
              OpContext& context) {
  if (n == 0) return;
  gate_mul_kernel<<<n_blocks(n, kGateThreads), kGateThreads, 0, context.cuda->stream()>>>(
      gate, up, swiglu_limit, n, out);
  SW_CUDA_LAUNCHED();
}

}  // namespace sw::cuda
