// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <cuda_runtime.h>

#include "base/error.h"

/// For files that nvcc compiles.
namespace sw::cuda {

/// Throws sw::SystemError with CUDA's words; `what` names the call.
void check(cudaError_t status, const char* what, const char* file, int line);
#define SW_CUDA(call) ::sw::cuda::check((call), #call, __FILE__, __LINE__)
/// After each kernel launch.
#define SW_CUDA_LAUNCHED() SW_CUDA(cudaGetLastError())

/// A GPU's work queue: operations run in the order in which they were queued. For one host thread at a time.
class Queue {
 public:
  explicit Queue(int gpu);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  int gpu() const { return gpu_; }
  /// CUDA launches kernels on the calling thread's current GPU, whatever the stream's: so this makes the
  /// queue's GPU the current one. Ask for the stream at each launch, do not keep it.
  cudaStream_t stream() const;
  int n_multiprocessor() const { return n_multiprocessor_; }
  /// Shared memory that one block may ask for at most, in bytes.
  int most_shared_bytes() const { return most_shared_bytes_; }
  /// Shared memory of a multiprocessor, in bytes.
  int shared_bytes() const { return shared_bytes_; }
  /// The GPU's compute capability, 90 for 9.0.
  int capability() const { return capability_; }
  /// Whether a kernel may start before the one queued ahead of it has ended (see launch.cuh).
  bool starts_early() const { return starts_early_; }
  /// kCounters words of the GPU, zero whenever no kernel runs: a kernel that counts there leaves zeros.
  static constexpr int kCounters = 1024;
  uint32_t* counters() const { return counters_; }

 private:
  int gpu_;
  int n_multiprocessor_ = 0, most_shared_bytes_ = 0, shared_bytes_ = 0, capability_ = 0;
  bool starts_early_ = false;
  cudaStream_t stream_ = nullptr;
  uint32_t* counters_ = nullptr;
};

}  // namespace sw::cuda
