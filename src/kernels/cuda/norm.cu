// SPDX-License-Identifier: MIT
#include "kernels/cuda/gated.cuh"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kNormThreads = 256, kGateThreads = 256;

/// A block per row.
__global__ void rms_norm_kernel(const float* x, int64_t x_stride, const int32_t* rows, const float* weight,
                                float eps, int n, float* out, int64_t out_stride) {
  const int64_t t = blockIdx.x;
  const float* row = x + (rows ? rows[t] : t) * x_stride;
  float squares = 0.0f;
  for (int i = threadIdx.x; i < n; i += kNormThreads) squares += row[i] * row[i];
  __shared__ float of_warp[kNormThreads / kWarp];
  squares = lane_sum(squares);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = squares;
  __syncthreads();
  float total = 0.0f;
  for (const float part : of_warp) total += part;
  const float scale = 1.0f / sqrtf(total / static_cast<float>(n) + eps);
  float* out_row = out + t * out_stride;
  // In place is safe: a thread writes only what it alone reads from here on.
  for (int i = threadIdx.x; i < n; i += kNormThreads) out_row[i] = row[i] * scale * weight[i];
}

__global__ void gate_mul_kernel(const float* gate, const float* up, float swiglu_limit, int64_t n,
                                float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kGateThreads + threadIdx.x;
  if (i < n) out[i] = gated(gate[i], up[i], swiglu_limit);
}

}  // namespace

void rms_norm(TensorView<const float> x, const int32_t* rows, const float* weight, float eps,
              TensorView<float> out, OpContext& context) {
  if (out.n_rows() == 0) return;
  rms_norm_kernel<<<n_blocks(out.n_rows(), 1), kNormThreads, 0, context.cuda->stream()>>>(
      x.data(), x.stride(), rows, weight, eps, static_cast<int>(x.n_cols()), out.data(), out.stride());
  SW_CUDA_LAUNCHED();
}

void gate_mul(const float* gate, const float* up, float swiglu_limit, int64_t n, float* out,
              OpContext& context) {
  if (n == 0) return;
  gate_mul_kernel<<<n_blocks(n, kGateThreads), kGateThreads, 0, context.cuda->stream()>>>(
      gate, up, swiglu_limit, n, out);
  SW_CUDA_LAUNCHED();
}

}  // namespace sw::cuda
