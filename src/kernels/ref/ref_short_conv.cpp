// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>

#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

ref::Vector plus(ref::Vector x, const Values& bias) {
  if (bias) ref::add_scaled(x.data(), 1.0f, bias.span());
  return x;
}

/// What stands before a sequence's first token of the batch.
ref::Vector first_state(const ShortConvDesc& d, const ShortConvArgs& args, int32_t seq) {
  const int64_t n = (d.n_tap() - 1) * d.n_embd();
  const int32_t page = args.batch.state_from[seq];
  if (page < 0) return ref::Vector(static_cast<size_t>(n), 0.0f);
  const float* from = args.states.data + page * args.states.stride_floats;
  return {from, from + n};
}

/// `rows` [n_tap, n_embd]: u of the token and of those before it, oldest first.
ref::Vector convolve(const ShortConvDesc& d, const ref::Vector& rows) {
  const int64_t n_embd = d.n_embd(), n_tap = d.n_tap();
  ref::Vector y(static_cast<size_t>(n_embd));
  for (int64_t i = 0; i < n_embd; ++i) {
    double sum = d.bias ? d.bias[i] : 0.0f;
    for (int64_t j = 0; j < n_tap; ++j)
      sum += static_cast<double>(d.taps[i * n_tap + j]) * rows[static_cast<size_t>(j * n_embd + i)];
    y[static_cast<size_t>(i)] = static_cast<float>(sum);
  }
  return y;
}

void run(const ShortConvDesc& d, const ShortConvArgs& args, OpContext&) {
  const auto n_embd = static_cast<size_t>(d.n_embd());
  std::map<int32_t, ref::Vector> states;
  for (int64_t t = 0; t < args.batch.n_token; ++t) {
    const int32_t seq = args.batch.seq[t], to = args.batch.state_to[t];
    if (!states.contains(seq)) states[seq] = first_state(d, args, seq);
    ref::Vector& state = states[seq];
    const ref::Vector normed = ref::rms_norm(args.x.row(t), d.norm, d.rms_eps, d.n_embd());
    const ref::Vector bcv = plus(ref::multiply(d.in.weight, normed.data()), d.in_bias);
    for (size_t i = 0; i < n_embd; ++i) state.push_back(bcv[i] * bcv[2 * n_embd + i]);
    ref::Vector y = convolve(d, state);
    for (size_t i = 0; i < n_embd; ++i) y[i] *= bcv[n_embd + i];
    ref::add_scaled(args.x.row(t), 1.0f, plus(ref::multiply(d.out.weight, y.data()), d.out_bias));
    state.erase(state.begin(), state.begin() + d.n_embd());
    if (to >= 0) std::ranges::copy(state, args.states.data + to * args.states.stride_floats);
  }
}

}  // namespace

extern const ShortConvKernel ref_short_conv;
const ShortConvKernel ref_short_conv{.name = "ref_short_conv", .run = run};

}  // namespace sw
