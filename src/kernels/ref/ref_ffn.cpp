// SPDX-License-Identifier: MIT
#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

void run(const FfnDesc& d, const FfnArgs& args, OpContext&) {
  for (int64_t t = 0; t < args.x.n_rows(); ++t) {
    const float* x = args.x.row(t);
    ref::Vector normed;
    if (d.norm) {
      normed = ref::rms_norm(x, d.norm, d.rms_eps, d.gate.n_in());
      x = normed.data();
    }
    ref::add_scaled(args.out.row(t), 1.0f, ref::swiglu(d.gate.weight, d.up.weight, d.down.weight, x));
  }
}

}  // namespace

extern const FfnKernel ref_ffn;
const FfnKernel ref_ffn{.name = "ref_ffn", .run = run};

}  // namespace sw
