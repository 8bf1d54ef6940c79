// SPDX-License-Identifier: MIT
#include "kernels/clamped_swiglu.h"
#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

const char* accepts_all(const ExpertsDesc&) { return nullptr; }
size_t no_scratch(const ExpertsDesc&, int64_t, int) { return 0; }

ref::Vector multiply(const ExpertStack& stack, int32_t id, const float* x) {
  ref::Vector y = ref::multiply(stack.matrix(id), x);
  if (stack.bias) ref::add_scaled(y.data(), 1.0f, {stack.bias_of(id), y.size()});
  return y;
}

ref::Vector run_expert(const ExpertsDesc& d, int32_t id, const float* x) {
  ref::Vector gate = multiply(d.gate, id, x);
  const ref::Vector up = multiply(d.up, id, x);
  if (d.swiglu_limit > 0) {
    clamped_swiglu(gate.data(), up.data(), d.swiglu_limit, std::ssize(gate));
  } else {
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = silu_exact(gate[i]) * up[i];
  }
  return multiply(d.down, id, gate.data());
}

void run(const ExpertsDesc& d, const ExpertsArgs& args, OpContext&) {
  const int64_t n_embd = d.down.n_out;
  for (int64_t t = 0; t < args.x.n_rows(); ++t) {
    const float* x = args.x.row(t);
    ref::Vector sum(static_cast<size_t>(n_embd), 0.0f);
    for (int64_t s = 0; s < args.routing.n_active[static_cast<size_t>(t)]; ++s) {
      const int32_t id = args.routing.ids.at(t, s);
      const float weight = args.routing.weights.at(t, s);
      if (d.gate.has(id)) {
        ref::add_scaled(sum.data(), weight, run_expert(d, id, x));
      } else if (d.identity && id >= d.n_expert()) {
        ref::add_scaled(sum.data(), weight, {x, static_cast<size_t>(n_embd)});
      }
    }
    ref::add_scaled(args.out.row(t), 1.0f, sum);
  }
}

}  // namespace

extern const ExpertsKernel ref_experts;
const ExpertsKernel ref_experts{"ref_experts", Isa::Scalar, accepts_all, no_scratch, run};

}  // namespace sw
