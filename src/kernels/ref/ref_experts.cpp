// SPDX-License-Identifier: MIT
#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

const char* accepts_all(const ExpertsDesc&) { return nullptr; }
size_t no_scratch(const ExpertsDesc&, int64_t, int) { return 0; }

void run(const ExpertsDesc& d, const ExpertsArgs& args, OpContext&) {
  const int64_t n_embd = d.down.n_out();
  for (int64_t t = 0; t < args.x.n_rows(); ++t) {
    const float* x = args.x.row(t);
    ref::Vector sum(static_cast<size_t>(n_embd), 0.0f);
    for (int64_t s = 0; s < args.routing.n_active[static_cast<size_t>(t)]; ++s) {
      const int32_t id = args.routing.ids.at(t, s);
      const float weight = args.routing.weights.at(t, s);
      const int32_t place = d.place(id);
      if (place < 0 && d.identity && id >= d.n_expert()) {
        ref::add_scaled(sum.data(), weight, {x, static_cast<size_t>(n_embd)});
      } else if (place >= 0) {
        ref::add_scaled(sum.data(), weight,
                        ref::swiglu(d.gate.weight.expert(place), d.up.weight.expert(place),
                                    d.down.weight.expert(place), x));
      }
    }
    ref::add_scaled(args.out.row(t), 1.0f, sum);
  }
}

}  // namespace

extern const ExpertsKernel ref_experts;
const ExpertsKernel ref_experts{"ref_experts", Isa::Scalar, accepts_all, no_scratch, run};

}  // namespace sw
