// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

void run(const HeadDesc& d, const HeadArgs& args, OpContext&) {
  for (size_t i = 0; i < args.rows.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    const ref::Vector normed = ref::rms_norm(args.x.row(args.rows[i]), d.norm, d.rms_eps, d.output.n_in());
    std::copy(normed.begin(), normed.end(), args.normed.row(row));
    const ref::Vector logits = ref::multiply(d.output.weight, normed.data());
    std::copy(logits.begin(), logits.end(), args.logits.row(row));
  }
}

}  // namespace

extern const HeadKernel ref_head;
const HeadKernel ref_head{.name = "ref_head", .run = run};

}  // namespace sw
