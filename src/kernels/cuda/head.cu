// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/linear.h"

namespace sw {
namespace cuda {
namespace {

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
const HeadKernel cuda_head{.name = "cuda_head", .run = cuda::run, .device = DeviceKind::Cuda};

}  // namespace sw
