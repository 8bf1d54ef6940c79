// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/few/experts.h"
#include "kernels/cuda/few/product.h"
#include "kernels/cuda/ffn.h"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/product/tiles.h"
#include "kernels/cuda/queue.h"

namespace sw {
namespace cuda {
namespace {

/// Whether gate and up of many tokens go together, straight to hidden values in bf16.
bool gates_many(const FfnDesc& d, int64_t n_token) {
  const Type type = d.gate.weight.type;
  return n_token > kMostFewTokens && type == d.up.weight.type && wants_bf16(type, d.bound.row_invariant) &&
         wants_bf16(d.down.weight.type, d.bound.row_invariant);
}

struct Buffers {
  template <class Take>
  Buffers(const FfnDesc& d, int64_t n_token, int, Take& take) {
    const bool invariant = d.bound.row_invariant;
    if (d.norm) normed = take_rows(take, n_token, d.gate.n_in());
    hidden = take_rows(take, n_token, d.gate.n_out());
    up = take_rows(take, n_token, d.up.n_out());
    take(x_room, std::max(linear_room(d.gate, n_token, invariant), linear_room(d.up, n_token, invariant)));
    take(hidden_room, linear_room(d.down, n_token, invariant));
  }
  TensorView<float> normed = {};  ///< where there is a norm
  TensorView<float> hidden = {}, up = {};
  uint16_t* x_room = nullptr;       ///< for inputs of gate and up
  uint16_t* hidden_room = nullptr;  ///< for hidden values
};

/// b.hidden_room = silu(gate x') * (up x') in bf16, of many tokens.
TensorView<const uint16_t> gate_many(const FfnDesc& d, TensorView<const float> x, const Buffers& b,
                                     OpContext& context) {
  const int64_t n_token = x.n_rows(), n_in = d.gate.n_in(), n_ff = d.gate.n_out();
  const TensorView<uint16_t> x_bf16(b.x_room, n_token, n_in, bf16_stride(n_in));
  if (d.norm) rms_norm(x, nullptr, d.norm, d.rms_eps, b.normed, context);
  round_to_bf16(d.norm ? b.normed : x, 1, 0, x_bf16, context);
  const TensorView<uint16_t> hidden(b.hidden_room, n_token, n_ff, bf16_stride(n_ff));
  const GatedProduct gated{.data = d.up.weight.data, .bias = d.up_bias};
  multiply_tiles(
      {.weight = d.gate.weight, .x_bf16 = x_bf16, .out_bf16 = hidden, .gated = &gated, .bias = d.gate_bias},
      context);
  for (const Linear* linear : {&d.gate, &d.up}) count_dense(context.counters, *linear, n_token);
  return hidden;
}

/// hidden = silu(gate x) * (up x), x normed on the way where that is to be done.
void multiply_gated(const FfnDesc& d, TensorView<const float> x, const InputNorm& norm, const Buffers& b,
                    OpContext& context) {
  const LinearOptions options{.row_invariant = d.bound.row_invariant, .norm = norm, .room = b.x_room};
  LinearOptions gate = options, up = options;
  gate.bias = d.gate_bias;
  up.bias = d.up_bias;
  linear(d.gate, x, b.hidden, gate, context);
  linear(d.up, x, b.up, up, context);
  gate_mul(b.hidden.data(), b.up.data(), 0, x.n_rows() * d.gate.n_out(), b.hidden.data(), context);
}

}  // namespace

size_t ffn_scratch_bytes(const FfnDesc& d, int64_t n_token) { return scratch_of<Buffers>(d, n_token, 1); }

void run_ffn(const FfnDesc& d, const FfnArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows();
  const bool invariant = d.bound.row_invariant;
  const Buffers b(d, n_token, 1, context.scratch);
  const auto norms = [&](const Linear& linear) { return norms_input(linear, n_token, invariant, context); };
  if (gates_many(d, n_token)) {
    const TensorView<const uint16_t> hidden = gate_many(d, args.x, b, context);
    return linear(d.down, {nullptr, n_token, d.down.n_in()}, args.out,
                  {.add = true, .bias = d.down_bias, .x_bf16 = hidden}, context);
  }
  if (n_token == 1 && !invariant && can_gate_few(d, *context.cuda)) {
    check_input(d.gate, args.x);
    gate_few(d, args.x.data(), b.hidden.data(), *context.cuda);
    for (const Linear* linear : {&d.gate, &d.up}) count_dense(context.counters, *linear, 1);
  } else if (!d.norm || (norms(d.gate) && norms(d.up))) {
    multiply_gated(d, args.x, {d.norm, d.rms_eps}, b, context);
  } else {
    rms_norm(args.x, nullptr, d.norm, d.rms_eps, b.normed, context);
    multiply_gated(d, b.normed, {}, b, context);
  }
  linear(d.down, b.hidden, args.out,
         {.row_invariant = invariant, .add = true, .bias = d.down_bias, .room = b.hidden_room}, context);
}

}  // namespace cuda

extern const FfnKernel cuda_ffn;
const FfnKernel cuda_ffn{.name = "cuda_ffn",
                         .scratch_bytes = scratch_of<cuda::Buffers>,
                         .run = cuda::run_ffn,
                         .device = DeviceKind::Cuda};

}  // namespace sw
