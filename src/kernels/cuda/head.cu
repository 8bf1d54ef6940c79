// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/linear.h"

namespace sw {
namespace cuda {
namespace {

struct Buffers {
  template <class Take>
  Buffers(const HeadDesc& d, int64_t n_row, int, Take& take) {
    take(room, linear_room(d.output, n_row, d.bound.row_invariant));
  }
  uint16_t* room = nullptr;  ///< for inputs of the product
};

void run(const HeadDesc& d, const HeadArgs& args, OpContext& context) {
  const auto n_row = static_cast<int64_t>(args.rows.size());
  if (n_row == 0) return;
  const Buffers b(d, n_row, 1, context.scratch);
  const TensorView<float> normed = args.normed.rows(0, n_row);
  rms_norm(args.x, args.rows.data(), d.norm, d.rms_eps, normed, context);
  linear(d.output, normed, args.logits.rows(0, n_row),
         {.row_invariant = d.bound.row_invariant, .room = b.room}, context);
}

}  // namespace
}  // namespace cuda

extern const HeadKernel cuda_head;
const HeadKernel cuda_head{.name = "cuda_head",
                           .scratch_bytes = scratch_of<cuda::Buffers>,
                           .run = cuda::run,
                           .device = DeviceKind::Cuda};

}  // namespace sw
