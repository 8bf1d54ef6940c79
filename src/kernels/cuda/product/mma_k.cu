// SPDX-License-Identifier: MIT
#include "kernels/cuda/product/mma_launch.cuh"

namespace sw::cuda {

SW_MMA_FORMAT(Q4_K)
SW_MMA_FORMAT(Q5_K)
SW_MMA_FORMAT(Q6_K)

}  // namespace sw::cuda
