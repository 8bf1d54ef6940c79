// SPDX-License-Identifier: MIT
#pragma once
#include <cuda_runtime.h>

#include "base/error.h"

/// For files that nvcc compiles.
namespace sw::cuda {

/// Throws sw::SystemError with CUDA's words; `what` names the call.
void check(cudaError_t status, const char* what, const char* file, int line);
#define SW_CUDA(call) ::sw::cuda::check((call), #call, __FILE__, __LINE__)
/// After each kernel launch.
#define SW_CUDA_LAUNCHED() SW_CUDA(cudaGetLastError())

/// A GPU's work queue: operations run in the order in which they were queued.
class Queue {
 public:
  explicit Queue(int gpu);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  int gpu() const { return gpu_; }
  cudaStream_t stream() const { return stream_; }
  int n_multiprocessor() const { return n_multiprocessor_; }

 private:
  int gpu_;
  int n_multiprocessor_ = 0;
  cudaStream_t stream_ = nullptr;
};

}  // namespace sw::cuda
