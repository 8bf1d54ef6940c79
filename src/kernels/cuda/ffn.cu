// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/queue.h"

namespace sw {
namespace cuda {
namespace {

template <class Format>
__global__ void __launch_bounds__(kMatvecThreads) gated_kernel(GatePair pair, const float* x, float* hidden) {
  const int64_t r = matvec_row(blockIdx.x);
  if (r < pair.n_ff) write_gated<Format>(pair, r, x, hidden);
}

/// silu(gate x) * (up x) of one token in one launch.
void multiply_gated(const FfnDesc& d, const float* x, float* hidden, OpContext& context) {
  with_type(d.gate.weight.type, [&]<class Format>() {
    gated_kernel<Format>
        <<<n_blocks(d.gate.n_out(), kMatvecWarps), kMatvecThreads, 0, context.cuda->stream()>>>(
            GatePair(d.gate, d.up), x, hidden);
    SW_CUDA_LAUNCHED();
  });
  for (const Linear* linear : {&d.gate, &d.up}) count_dense(context.counters, *linear, 1);
}

struct Buffers {
  template <class Take>
  Buffers(const FfnDesc& d, int64_t n_token, int, Take& take) {
    if (d.norm) normed = take_rows(take, n_token, d.gate.n_in());
    hidden = take_rows(take, n_token, d.gate.n_out());
    up = take_rows(take, n_token, d.up.n_out());
  }
  TensorView<float> normed = {};  ///< where there is a norm
  TensorView<float> hidden = {}, up = {};
};

void run(const FfnDesc& d, const FfnArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  const Buffers b(d, n_token, 1, context.scratch);
  TensorView<const float> x = args.x;
  if (d.norm) {
    rms_norm(x, nullptr, d.norm, d.rms_eps, b.normed, context);
    x = b.normed;
  }
  if (n_token == 1 && d.gate.weight.type == d.up.weight.type && !d.gate_bias && !d.up_bias) {
    check_input(d.gate, x);
    multiply_gated(d, x.data(), b.hidden.data(), context);
  } else {
    const bool invariant = d.bound.row_invariant;
    linear(d.gate, x, b.hidden, {.row_invariant = invariant, .bias = d.gate_bias}, context);
    linear(d.up, x, b.up, {.row_invariant = invariant, .bias = d.up_bias}, context);
    gate_mul(b.hidden.data(), b.up.data(), 0, n_token * d.gate.n_out(), b.hidden.data(), context);
  }
  linear(d.down, b.hidden, args.out,
         {.row_invariant = d.bound.row_invariant, .add = true, .bias = d.down_bias}, context);
}

}  // namespace
}  // namespace cuda

extern const FfnKernel cuda_ffn;
const FfnKernel cuda_ffn{.name = "cuda_ffn",
                         .scratch_bytes = scratch_of<cuda::Buffers>,
                         .run = cuda::run,
                         .device = DeviceKind::Cuda};

}  // namespace sw
