// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/queue.h"

namespace sw::cuda {

/// A point of a queue that other queues and the host can wait for; it takes no times.
class Event {
 public:
  /// Of the queue's GPU, the only one whose queues can record it.
  explicit Event(const Queue& queue) : gpu_(queue.gpu()) {
    SW_CUDA(cudaSetDevice(gpu_));
    SW_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  ~Event() {
    (void)cudaSetDevice(gpu_);
    (void)cudaEventDestroy(event_);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Here, behind all that is queued so far; the last call counts.
  void record(const Queue& queue) { SW_CUDA(cudaEventRecord(event_, queue.stream())); }
  /// What is queued on `queue` from now on waits for the point; for nothing where none was recorded.
  void hold(const Queue& queue) const { SW_CUDA(cudaStreamWaitEvent(queue.stream(), event_, 0)); }
  /// The host waits for the point; for nothing where none was recorded.
  void wait() const { SW_CUDA(cudaEventSynchronize(event_)); }

 private:
  int gpu_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace sw::cuda
