// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/mma_launch.cuh"

namespace sw::cuda {

SW_MMA_FORMAT(F32)
SW_MMA_FORMAT(F16)
SW_MMA_FORMAT(BF16)

}  // namespace sw::cuda
