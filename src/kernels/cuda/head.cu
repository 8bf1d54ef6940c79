// SPDX-License-Identifier: MIT
#include "kernels/cuda/linear.h"

namespace sw {
namespace cuda {
namespace {

size_t no_scratch(const HeadDesc&, int64_t, int) { return 0; }

void run(const HeadDesc& d, const HeadArgs& args, OpContext& context) {
  const auto n_row = static_cast<int64_t>(args.rows.size());
  if (n_row == 0) return;
  const TensorView<float> normed = args.normed.rows(0, n_row);
  rms_norm(args.x, args.rows.data(), d.norm, d.rms_eps, normed, context);
  linear(d.output, normed, args.logits.rows(0, n_row), {.row_invariant = d.bound.row_invariant}, context);
}

}  // namespace
}  // namespace cuda

extern const HeadKernel cuda_head;
const HeadKernel cuda_head{"cuda_head",      Isa::Scalar, cuda::refuses_format<HeadDesc>,
                           cuda::no_scratch, cuda::run,   DeviceKind::Cuda};

}  // namespace sw
