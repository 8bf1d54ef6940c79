// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/product/mma_args.h"

namespace sw::cuda {

/// Queues the kernel of the tensor cores for a format and a shape, if there is one.
void launch_mma(const MmaArgs& args, MmaShape shape, OpContext& context);

/// Shared memory that a block of it takes; SIZE_MAX where there is no such kernel.
size_t mma_shared_bytes(Type type, MmaShape shape);

}  // namespace sw::cuda
