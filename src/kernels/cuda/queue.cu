// SPDX-License-Identifier: MIT
#include <cstring>
#include <string>

#include "kernels/cuda/queue.h"

namespace sw::cuda {

void check(cudaError_t status, const char* what, const char* file, int line) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // forget it, or the next launch would be blamed
  const char* slash = std::strrchr(file, '/');
  throw SystemError(
      {.what = status == cudaErrorMemoryAllocation ? "not enough memory on the GPU" : "the GPU failed",
       .where = std::string(what) + ", " + (slash ? slash + 1 : file) + ":" + std::to_string(line),
       .got = cudaGetErrorString(status)});
}

Queue::Queue(int gpu) : gpu_(gpu) {
  SW_CUDA(cudaSetDevice(gpu));
  SW_CUDA(cudaDeviceGetAttribute(&n_multiprocessor_, cudaDevAttrMultiProcessorCount, gpu));
  SW_CUDA(cudaDeviceGetAttribute(&most_shared_bytes_, cudaDevAttrMaxSharedMemoryPerBlockOptin, gpu));
  SW_CUDA(cudaDeviceGetAttribute(&shared_bytes_, cudaDevAttrMaxSharedMemoryPerMultiprocessor, gpu));
  int major = 0, minor = 0;
  SW_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, gpu));
  SW_CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, gpu));
  capability_ = 10 * major + minor;
  starts_early_ = major >= 9;
  SW_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  SW_CUDA(cudaMalloc(&counters_, kCounters * sizeof(uint32_t)));
  SW_CUDA(cudaMemsetAsync(counters_, 0, kCounters * sizeof(uint32_t), stream_));
}

// Nothing to be done where this fails: the process is about to end, or the GPU has failed before.
Queue::~Queue() {
  (void)cudaFree(counters_);
  (void)cudaStreamDestroy(stream_);
}

cudaStream_t Queue::stream() const {
  SW_CUDA(cudaSetDevice(gpu_));
  return stream_;
}

}  // namespace sw::cuda
