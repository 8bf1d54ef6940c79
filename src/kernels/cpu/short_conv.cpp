// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

struct Buffers {
  template <class Take>
  Buffers(const ShortConvDesc& d, int64_t n_token, int, Take& take) {
    take(before, n_token);
    normed = take_rows(take, n_token, d.n_embd());
    take_packed(take, packed_in, d.in, n_token);
    bcv = take_rows(take, n_token, d.in.n_out());
    take_packed(take, packed_out, d.out, n_token);
    y = take_rows(take, n_token, d.n_embd());
  }
  int64_t* before = nullptr;  ///< [n_token] the sequence's token before this one, in the batch; -1: none
  TensorView<float> normed = {};
  std::byte* packed_in = nullptr;
  TensorView<float> bcv = {};  ///< [n_token, 3 * n_embd] b, later u; c, later gated y; v
  std::byte* packed_out = nullptr;
  TensorView<float> y = {};
};

int64_t token_before(const TokenBatch& batch, int64_t t) {
  int64_t before = t - 1;
  while (before >= 0 && batch.seq[before] != batch.seq[t]) --before;
  return before;
}

/// b, c, v -> u, c. In place.
void gate_input(const ShortConvDesc& d, float* bcv) {
  const int64_t n = d.n_embd();
  if (d.in_bias) {
    for (int64_t i = 0; i < 3 * n; ++i) bcv[i] += d.in_bias[i];
  }
  for (int64_t i = 0; i < n; ++i) bcv[i] *= bcv[2 * n + i];
}

/// u of the token `lag` tokens before t: from the batch, from the state before it, or null where it is 0.
const float* u_before(const ShortConvDesc& d, const ShortConvArgs& args, const Buffers& b, int64_t t,
                      int64_t lag) {
  int64_t at = t;
  for (; lag > 0 && b.before[at] >= 0; --lag) at = b.before[at];
  if (lag == 0) return b.bcv.row(at);
  const int32_t page = args.batch.state_from[args.batch.seq[t]];
  if (page < 0) return nullptr;
  return args.states.data + page * args.states.stride_floats + (d.n_tap() - 1 - lag) * d.n_embd();
}

/// c -> c * y. In place. A channel's sum has one order, wherever its u come from.
void convolve(const ShortConvDesc& d, const ShortConvArgs& args, const Buffers& b, int64_t t) {
  const int64_t n = d.n_embd(), n_tap = d.n_tap();
  float* y = b.y.row(t);
  for (int64_t i = 0; i < n; ++i) y[i] = d.bias ? d.bias[i] : 0.0f;
  for (int64_t j = 0; j < n_tap; ++j) {
    const float* u = u_before(d, args, b, t, n_tap - 1 - j);
    for (int64_t i = 0; i < n; ++i) y[i] += d.taps[i * n_tap + j] * (u ? u[i] : 0.0f);
  }
  float* c = b.bcv.row(t) + n;
  for (int64_t i = 0; i < n; ++i) c[i] *= y[i];
}

void store_state(const ShortConvDesc& d, const ShortConvArgs& args, const Buffers& b, int64_t t) {
  const int32_t page = args.batch.state_to[t];
  if (page < 0) return;
  float* to = args.states.data + page * args.states.stride_floats;
  for (int64_t lag = d.n_tap() - 2; lag >= 0; --lag, to += d.n_embd()) {
    const float* u = u_before(d, args, b, t, lag);
    if (u) {
      std::copy_n(u, d.n_embd(), to);
    } else {
      std::fill_n(to, d.n_embd(), 0.0f);
    }
  }
}

void run(const ShortConvDesc& d, const ShortConvArgs& args, OpContext& context) {
  const int64_t n_token = args.batch.n_token, n_embd = d.n_embd();
  const Buffers b(d, n_token, context.pool.size(), context.scratch);
  for_tokens(context.pool, n_token, n_embd, [&](int64_t t, int) {
    b.before[t] = token_before(args.batch, t);
    context.vector.rms_norm(args.x.row(t), d.norm, d.rms_eps, n_embd, b.normed.row(t));
    pack_row(d.in, b.normed.row(t), t, b.packed_in);
  });
  multiply_all(context.pool, {&d.in, b.packed_in, b.bcv});
  for_tokens(context.pool, n_token, 3 * n_embd, [&](int64_t t, int) { gate_input(d, b.bcv.row(t)); });
  for_tokens(context.pool, n_token, d.n_tap() * n_embd, [&](int64_t t, int) {
    convolve(d, args, b, t);
    store_state(d, args, b, t);
    pack_row(d.out, b.bcv.row(t) + n_embd, t, b.packed_out);
  });
  multiply_all(context.pool, {&d.out, b.packed_out, b.y});
  add_to_residual(args.x, b.y, d.out_bias, context);
  count_dense(context.counters, d, n_token);
}

}  // namespace

extern const ShortConvKernel cpu_short_conv;
const ShortConvKernel cpu_short_conv{
    .name = "cpu_short_conv", .scratch_bytes = scratch_of<Buffers>, .run = run};

}  // namespace sw
