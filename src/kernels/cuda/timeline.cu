// SPDX-License-Identifier: MIT
#include <vector>

#include "kernels/cuda/profile.h"

namespace sw::cuda {
namespace {

class EventTimeline final : public Timeline {
 public:
  explicit EventTimeline(const Queue& queue) : queue_(queue) {}
  EventTimeline(const EventTimeline&) = delete;
  EventTimeline& operator=(const EventTimeline&) = delete;
  ~EventTimeline() override {
    (void)cudaSetDevice(queue_.gpu());
    for (const cudaEvent_t event : events_) (void)cudaEventDestroy(event);
  }

  int mark() override {
    const cudaStream_t stream = queue_.stream();
    if (n_mark_ == events_.size()) {
      cudaEvent_t event = nullptr;
      SW_CUDA(cudaEventCreate(&event));
      events_.push_back(event);
    }
    SW_CUDA(cudaEventRecord(events_[n_mark_], stream));
    return static_cast<int>(n_mark_++);
  }
  double seconds(int from, int to) const override {
    float milliseconds = 0;
    SW_CUDA(cudaEventElapsedTime(&milliseconds, events_.at(static_cast<size_t>(from)),
                                 events_.at(static_cast<size_t>(to))));
    return 1e-3 * static_cast<double>(milliseconds);
  }
  void clear() override { n_mark_ = 0; }

 private:
  const Queue& queue_;
  std::vector<cudaEvent_t> events_;  // kept for the next marks
  size_t n_mark_ = 0;
};

}  // namespace

std::unique_ptr<Timeline> make_timeline(const Queue& queue) { return std::make_unique<EventTimeline>(queue); }

}  // namespace sw::cuda
