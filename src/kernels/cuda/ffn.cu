// SPDX-License-Identifier: MIT
#include "kernels/cuda/linear.h"
#include "kernels/cuda/matvec.cuh"
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

const char* refuses(const FfnDesc&) { return nullptr; }

size_t scratch_bytes(const FfnDesc& d, int64_t n_token, int) {
  const auto f32 = [&](int64_t n_col) {
    return Scratch::padded_bytes(static_cast<size_t>(n_token * n_col) * sizeof(float));
  };
  return (d.norm ? f32(d.gate.n_in()) : 0) + 2 * f32(d.gate.n_out()) + linear_scratch_bytes(d.gate, n_token) +
         linear_scratch_bytes(d.up, n_token) + linear_scratch_bytes(d.down, n_token);
}

void run(const FfnDesc& d, const FfnArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_embd = d.gate.n_in(), n_ff = d.gate.n_out();
  Scratch& scratch = context.scratch;
  TensorView<const float> x = args.x;
  if (d.norm) {
    const TensorView<float> normed(scratch.take<float>(n_token * n_embd), n_token, n_embd);
    rms_norm(x, nullptr, d.norm, d.rms_eps, normed, context);
    x = normed;
  }
  const TensorView<float> hidden(scratch.take<float>(n_token * n_ff), n_token, n_ff);
  if (n_token == 1 && d.gate.weight.type == d.up.weight.type) {
    check_input(d.gate, x);
    multiply_gated(d, x.data(), hidden.data(), context);
  } else {
    const TensorView<float> up(scratch.take<float>(n_token * n_ff), n_token, n_ff);
    linear(d.gate, x, hidden, false, context);
    linear(d.up, x, up, false, context);
    gate_mul(hidden.data(), up.data(), 0, n_token * n_ff, hidden.data(), context);
  }
  linear(d.down, hidden, args.out, true, context);
}

}  // namespace
}  // namespace cuda

extern const FfnKernel cuda_ffn;
const FfnKernel cuda_ffn{"cuda_ffn",          Isa::Scalar, cuda::refuses,
                         cuda::scratch_bytes, cuda::run,   DeviceKind::Cuda};

}  // namespace sw
