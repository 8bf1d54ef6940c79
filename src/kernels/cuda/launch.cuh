// SPDX-License-Identifier: MIT
#pragma once
#include <utility>

#include "kernels/cuda/queue.h"

/// Kernels that start early: while the one queued ahead still runs, as soon as all its blocks have begun, so
/// that what does not depend on it (weights above all) is on its way meanwhile. GPUs before compute
/// capability 9.0 start them in turn.
namespace sw::cuda {

/// Returns when all that was queued before this kernel is done and its memory can be seen. Every thread of a
/// kernel started by launch_early() calls it, before it reads what another kernel wrote and before it writes
/// anything, and before it returns: only then is whoever waits for this kernel sure of those before it too.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel start once every block has called this or ended. Called behind wait_for_previous(),
/// so that no kernel starts before the last but one ahead of it is done: what that one wrote may be read at
/// once.
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// Queues a kernel that calls wait_for_previous().
template <class... Params, class... Args>
void launch_early(void (*kernel)(Params...), unsigned n_block, int n_thread, size_t shared_bytes,
                  const Queue& queue, Args&&... args) {
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  // A kernel begins beside another only where neither changes how the multiprocessor divides its memory.
  attributes[1].id = cudaLaunchAttributePreferredSharedMemoryCarveout;
  attributes[1].val.sharedMemCarveout = cudaSharedmemCarveoutMaxShared;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(n_block);
  config.blockDim = dim3(static_cast<unsigned>(n_thread));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = queue.stream();
  config.attrs = attributes;
  config.numAttrs = queue.starts_early() ? 2 : 0;
  SW_CUDA(cudaLaunchKernelEx(&config, kernel, Params(std::forward<Args>(args))...));
}

}  // namespace sw::cuda
