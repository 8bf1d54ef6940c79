// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/mma_launch.cuh"

namespace sw::cuda {

SW_MMA_FORMAT(Q4_1)
SW_MMA_FORMAT(Q5_0)
SW_MMA_FORMAT(Q5_1)

}  // namespace sw::cuda
