// SPDX-License-Identifier: MIT
#include "kernels/cuda/linear.h"

namespace sw {
namespace cuda {
namespace {

const char* refuses(const HeadDesc&) { return nullptr; }
size_t scratch_bytes(const HeadDesc& d, int64_t n_token, int) {
  return linear_scratch_bytes(d.output, n_token);
}

void run(const HeadDesc& d, const HeadArgs& args, OpContext& context) {
  const auto n_row = static_cast<int64_t>(args.rows.size());
  if (n_row == 0) return;
  const TensorView<float> normed = args.normed.rows(0, n_row);
  rms_norm(args.x, args.rows.data(), d.norm, d.rms_eps, normed, context);
  linear(d.output, normed, args.logits.rows(0, n_row), false, context);
}

}  // namespace
}  // namespace cuda

extern const HeadKernel cuda_head;
const HeadKernel cuda_head{"cuda_head",         Isa::Scalar, cuda::refuses,
                           cuda::scratch_bytes, cuda::run,   DeviceKind::Cuda};

}  // namespace sw
