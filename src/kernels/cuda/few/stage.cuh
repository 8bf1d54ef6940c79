// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/queue.h"

/// Copies from global to shared memory that pass no register: a block asks for all the weights that it will
/// multiply at once, and waits for them when it has its inputs.
namespace sw::cuda {

/// Bytes of shared memory that stage() may write for `n` bytes: they keep their address modulo 16, and
/// whoever reads words at odd addresses reads up to one word more.
__host__ __device__ constexpr int staged_bytes(int64_t n) {
  return static_cast<int>((n + 15 + 15 + 4) / 16 * 16);
}

/// A copy of `n` bytes at `from` to `to` (a multiple of 16, staged_bytes(n) long), started in pieces by the
/// threads that share it. Nothing beyond the n bytes is read, but up to 15 bytes ahead of them: `from` lies
/// in an allocation that begins at a multiple of 16.
struct Staging {
  uint8_t* to;
  const uint8_t* from;
  int ahead, n_all;

  __device__ Staging(uint8_t* to, const uint8_t* from, int n)
      : to(to), ahead(static_cast<int>(reinterpret_cast<uintptr_t>(from) % 16)), n_all(n + ahead) {
    this->from = from - ahead;
  }
  /// Where the first byte will be.
  __device__ const uint8_t* first() const { return to + ahead; }
  /// Up to where the first `n` bytes go: a piece may end there.
  __device__ int end(int n) const { return (ahead + n + 15) / 16 * 16; }
  /// The piece [begin, end) of multiples of 16, by `n_thread` threads of which this is the `thread`-th. What
  /// is left at the end of all goes byte by byte: a copy of 16 that is told to read fewer still counts as a
  /// read of 16 for compute-sanitizer, beyond the end of the allocation.
  __device__ __forceinline__ void start(int begin, int end, unsigned thread, int n_thread) const {
    const int whole = min(end, n_all / 16 * 16);
#pragma unroll 4
    for (int i = begin + 16 * static_cast<int>(thread); i < whole; i += 16 * n_thread)
      copy_16(to + i, from + i);
    if (thread != 0) return;
    for (int i = max(begin, whole); i < min(end, n_all); ++i) to[i] = from[i];
  }
};

/// All of it. Returns where the first byte will be.
__device__ __forceinline__ const uint8_t* stage(uint8_t* to, const uint8_t* from, int n, unsigned thread,
                                                int n_thread) {
  const Staging staging(to, from, n);
  staging.start(0, staging.end(n), thread, n_thread);
  return staging.first();
}

/// Bytes of shared memory of a block that leave room for the next kernel's block on the same multiprocessor.
inline int most_at_once(const Queue& queue) {
  return std::min(queue.most_shared_bytes(), queue.shared_bytes() / 2 - 2048);
}

}  // namespace sw::cuda
