// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/mma_launch.h"
#include "kernels/cuda/with_gpu_type.h"

namespace sw::cuda {

// Compiled in mma_<formats>.cu, so that no single file takes minutes.
template <class Format>
size_t mma_shared_bytes_of(MmaShape shape);
template <class Format>
void launch_mma_of(const MmaArgs& args, MmaShape shape, OpContext& context);

void launch_mma(const MmaArgs& args, MmaShape shape, OpContext& context) {
  with_gpu_type(args.type, [&]<class Format>() { launch_mma_of<Format>(args, shape, context); });
}

size_t mma_shared_bytes(Type type, MmaShape shape) {
  return with_gpu_type(type, [&]<class Format>() { return mma_shared_bytes_of<Format>(shape); });
}

}  // namespace sw::cuda
