// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/queue.h"

namespace sw::cuda {

/// Lets `kernel` ask for up to so many bytes of shared memory on the queue's GPU. CUDA keeps this for each
/// GPU apart, and takes it for the thread's current one: where another GPU was queued on last, that would be
/// the wrong one.
template <class Kernel>
void allow_shared(Kernel* kernel, size_t bytes, const Queue& queue) {
  SW_CUDA(cudaSetDevice(queue.gpu()));
  SW_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
}

}  // namespace sw::cuda
