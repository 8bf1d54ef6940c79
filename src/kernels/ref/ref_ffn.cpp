// SPDX-License-Identifier: MIT
#include "kernels/ref/ref_math.h"

namespace sw {
namespace {
using ref::Vector;

Vector multiply(const Linear& linear, const Values& bias, const float* x) {
  Vector y = ref::multiply(linear.weight, x);
  if (bias) ref::add_scaled(y.data(), 1.0f, bias.span());
  return y;
}

void run(const FfnDesc& d, const FfnArgs& args, OpContext&) {
  for (int64_t t = 0; t < args.x.n_rows(); ++t) {
    const float* x = args.x.row(t);
    Vector normed;
    if (d.norm) {
      normed = ref::rms_norm(x, d.norm, d.rms_eps, d.gate.n_in());
      x = normed.data();
    }
    Vector hidden = multiply(d.gate, d.gate_bias, x);
    const Vector up = multiply(d.up, d.up_bias, x);
    for (size_t i = 0; i < hidden.size(); ++i) hidden[i] = silu_exact(hidden[i]) * up[i];
    ref::add_scaled(args.out.row(t), 1.0f, multiply(d.down, d.down_bias, hidden.data()));
  }
}

}  // namespace

extern const FfnKernel ref_ffn;
const FfnKernel ref_ffn{.name = "ref_ffn", .run = run};

}  // namespace sw
