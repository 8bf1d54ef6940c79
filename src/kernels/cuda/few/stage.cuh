// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/queue.h"

/// Copies from global to shared memory that pass no register: a block asks for all the weights that it will
/// multiply at once, and waits for them when it has its inputs.
namespace sw::cuda {

/// Bytes of shared memory that stage() may write for `n` bytes: they keep their address modulo 16, and
/// whoever reads words at odd addresses reads up to one word more.
__host__ __device__ constexpr int staged_bytes(int64_t n) {
  return static_cast<int>((n + 15 + 15 + 4) / 16 * 16);
}

__device__ __forceinline__ void copy_16(void* to, const void* from, int n_bytes) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(n_bytes)
               : "memory");
}
/// What was copied since the last call belongs together.
__device__ __forceinline__ void end_stage() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until all but the last kLeft groups of this thread's copies are there; others see them after a
/// barrier.
template <int kLeft>
__device__ __forceinline__ void await_stages() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

/// Starts the copy of `n` bytes at `from` to `to` (a multiple of 16, staged_bytes(n) long), by `n_thread`
/// threads of which this is the `thread`-th. Returns where the first byte will be. Nothing beyond the n bytes
/// is read, but up to 15 bytes ahead of them: `from` lies in an allocation that begins at a multiple of 16.
__device__ __forceinline__ const uint8_t* stage(uint8_t* to, const uint8_t* from, int n, unsigned thread,
                                                int n_thread) {
  const int ahead = static_cast<int>(reinterpret_cast<uintptr_t>(from) % 16);
  const uint8_t* begin = from - ahead;
  const int n_all = n + ahead;
#pragma unroll 4
  for (int i = 16 * static_cast<int>(thread); i < n_all; i += 16 * n_thread)
    copy_16(to + i, begin + i, min(16, n_all - i));
  return to + ahead;
}

/// Bytes of shared memory of a block that leave room for the next kernel's block on the same multiprocessor.
inline int most_at_once(const Queue& queue) {
  return std::min(queue.most_shared_bytes(), queue.shared_bytes() / 2 - 2048);
}

}  // namespace sw::cuda
