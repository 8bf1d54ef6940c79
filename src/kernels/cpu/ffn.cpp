// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

struct Buffers {
  template <class Take>
  Buffers(const FfnDesc& d, int64_t n_token, int, Take& take) {
    if (d.norm) normed = take_rows(take, n_token, d.gate.n_in());
    take_packed(take, packed_gate, d.gate, n_token);
    packed_up = packed_gate;
    if (!same_packing(d.gate, d.up)) take_packed(take, packed_up, d.up, n_token);
    gate = take_rows(take, n_token, d.gate.n_out());
    up = take_rows(take, n_token, d.up.n_out());
    take_packed(take, packed_hidden, d.down, n_token);
    y = take_rows(take, n_token, d.down.n_out());
  }
  TensorView<float> normed = {};     ///< where there is a norm
  std::byte* packed_gate = nullptr;  ///< [n_token] inputs, as gate reads them
  std::byte* packed_up = nullptr;    ///< as up reads them: the same memory where that is the same
  TensorView<float> gate = {}, up = {};
  std::byte* packed_hidden = nullptr;  ///< [n_token] as down reads them
  TensorView<float> y = {};
};

void run(const FfnDesc& d, const FfnArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_embd = d.gate.n_in(), n_ff = d.gate.n_out();
  const Buffers b(d, n_token, context.pool.size(), context.scratch);

  for_tokens(context.pool, n_token, n_embd, [&](int64_t t, int) {
    const float* x = args.x.row(t);
    if (d.norm) {
      context.vector.rms_norm(x, d.norm, d.rms_eps, n_embd, b.normed.row(t));
      x = b.normed.row(t);
    }
    pack_row(d.gate, x, t, b.packed_gate);
    if (b.packed_up != b.packed_gate) pack_row(d.up, x, t, b.packed_up);
  });
  const Product gate_and_up[] = {{&d.gate, b.packed_gate, b.gate}, {&d.up, b.packed_up, b.up}};
  multiply_all(context.pool, gate_and_up);
  for_tokens(context.pool, n_token, n_ff, [&](int64_t t, int) {
    if (d.gate_bias) context.vector.add_scaled(b.gate.row(t), 1.0f, d.gate_bias, n_ff);
    if (d.up_bias) context.vector.add_scaled(b.up.row(t), 1.0f, d.up_bias, n_ff);
    context.vector.silu_mul(b.gate.row(t), b.up.row(t), n_ff, b.gate.row(t));
    pack_row(d.down, b.gate.row(t), t, b.packed_hidden);
  });
  multiply_all(context.pool, {&d.down, b.packed_hidden, b.y});
  add_to_residual(args.out, b.y, d.down_bias, context);
  count_dense(context.counters, d, n_token);
}

}  // namespace

extern const FfnKernel cpu_ffn;
const FfnKernel cpu_ffn{.name = "cpu_ffn", .scratch_bytes = scratch_of<Buffers>, .run = run};

}  // namespace sw
