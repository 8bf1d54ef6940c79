// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

const char* accepts_all(const FfnDesc&) { return nullptr; }

size_t scratch_bytes(const FfnDesc& d, int64_t n_token, int) {
  const auto f32 = [&](int64_t n_col) {
    return Scratch::padded_bytes(static_cast<size_t>(n_token * n_col) * sizeof(float));
  };
  return f32(d.gate.n_in()) + packed_bytes(d.gate, n_token) + packed_bytes(d.up, n_token) +
         2 * f32(d.gate.n_out()) + packed_bytes(d.down, n_token) + f32(d.down.n_out());
}

void run(const FfnDesc& d, const FfnArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_embd = d.gate.n_in(), n_ff = d.gate.n_out();
  Scratch& scratch = context.scratch;
  const TensorView<float> normed(scratch.take<float>(n_token * n_embd), n_token, n_embd);
  std::byte* packed_gate = take_packed(d.gate, n_token, scratch);
  std::byte* packed_up = same_packing(d.gate, d.up) ? packed_gate : take_packed(d.up, n_token, scratch);
  const TensorView<float> gate(scratch.take<float>(n_token * n_ff), n_token, n_ff);
  const TensorView<float> up(scratch.take<float>(n_token * n_ff), n_token, n_ff);
  std::byte* packed_hidden = take_packed(d.down, n_token, scratch);
  const TensorView<float> y(scratch.take<float>(n_token * n_embd), n_token, n_embd);
  WorkQueue gate_queue, up_queue, down_queue;

  context.pool.run([&](ThreadPool::Team& team) {
    const Range mine = team.share(n_token);
    for (int64_t t = mine.begin; t < mine.end; ++t) {
      const float* x = args.x.row(t);
      if (d.norm) {
        context.vector.rms_norm(x, d.norm, d.rms_eps, n_embd, normed.row(t));
        x = normed.row(t);
      }
      pack_row(d.gate, x, t, packed_gate);
      if (packed_up != packed_gate) pack_row(d.up, x, t, packed_up);
    }
    team.barrier();
    multiply_all(d.gate, gate_queue, team.size(), packed_gate, gate);
    multiply_all(d.up, up_queue, team.size(), packed_up, up);
    team.barrier();
    for (int64_t t = mine.begin; t < mine.end; ++t) {
      context.vector.silu_mul(gate.row(t), up.row(t), n_ff, gate.row(t));
      pack_row(d.down, gate.row(t), t, packed_hidden);
    }
    team.barrier();
    multiply_all(d.down, down_queue, team.size(), packed_hidden, y);
    team.barrier();
    for (int64_t t = mine.begin; t < mine.end; ++t)
      context.vector.add_scaled(args.out.row(t), 1.0f, y.row(t), n_embd);
  });
  count_dense(context.counters, d, n_token);
}

}  // namespace

extern const FfnKernel cpu_ffn;
const FfnKernel cpu_ffn{"cpu_ffn", Isa::Scalar, accepts_all, scratch_bytes, run};

}  // namespace sw
