// SPDX-License-Identifier: MIT
#pragma once

/// Copies from global to shared memory that pass no register (compute capability 8.0 on). A thread waits for
/// its own; others see them after a barrier.
namespace sw::cuda {

/// Starts a copy of 16 bytes; both addresses are multiples of 16.
__device__ __forceinline__ void copy_16(void* to, const void* from) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
}
/// Closes the group of copies that the thread has started.
__device__ __forceinline__ void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for the thread's groups but the kLeft youngest.
template <int kLeft>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

}  // namespace sw::cuda
