// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/mma_launch.cuh"

namespace sw::cuda {

SW_MMA_FORMAT(Q4_0)
SW_MMA_FORMAT(Q8_0)
SW_MMA_FORMAT(MXFP4)

}  // namespace sw::cuda
