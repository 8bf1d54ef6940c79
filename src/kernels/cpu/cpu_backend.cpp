// SPDX-License-Identifier: MIT
#include "kernels/cpu/cpu_backend.h"

#include <chrono>
#include <vector>

#include "base/memory.h"
#include "kernels/cpu/read_limit.h"

namespace sw {
namespace cpu {
namespace {

/// By the clock: what was queued has been done.
class ClockTimeline final : public Timeline {
 public:
  int mark() override {
    marks_.push_back(Clock::now());
    return static_cast<int>(marks_.size()) - 1;
  }
  double seconds(int from, int to) const override {
    return std::chrono::duration<double>(at(to) - at(from)).count();
  }
  void clear() override { marks_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;

  Clock::time_point at(int mark) const { return marks_.at(static_cast<size_t>(mark)); }

  std::vector<Clock::time_point> marks_;
};

}  // namespace

CpuBackend::CpuBackend()
    : Backend({.kind = DeviceKind::Cpu, .name = "CPU", .description = cpu_facts().name}) {}

Backend::MemoryFacts CpuBackend::memory() const {
  return {.free_bytes = available_memory_bytes(), .total_bytes = total_memory_bytes()};
}

std::byte* CpuBackend::allocate(size_t size_bytes) { return cpu_memory().allocate(size_bytes); }
void CpuBackend::release(std::byte* data) noexcept { cpu_memory().release(data); }

void CpuBackend::copy_in(std::byte* to, const void* host, size_t size_bytes) {
  const Access access(*this);
  std::memcpy(to, host, size_bytes);
}

void CpuBackend::copy_out(void* host, const std::byte* from, size_t size_bytes) {
  const Access access(*this);
  std::memcpy(host, from, size_bytes);
}

/// The other device's bytes are here when this returns.
void CpuBackend::copy_from(Backend& from, std::span<const DeviceCopy> copies) {
  const Access access(*this);
  for (const DeviceCopy& copy : copies) from.copy_out(copy.to, copy.from, copy.size_bytes);
  from.record();
  from.wait_recorded();
}

void CpuBackend::zero(std::byte* data, size_t size_bytes) {
  const Access access(*this);
  std::memset(data, 0, size_bytes);
}

void CpuBackend::add(float* x, const float* y, int64_t n) {
  const Access access(*this);
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

std::unique_ptr<Timeline> CpuBackend::make_timeline() { return std::make_unique<ClockTimeline>(); }

double CpuBackend::measure_read_limit(ThreadPool& pool) { return read_limit(pool); }

}  // namespace cpu

std::unique_ptr<Backend> open_cpu() { return std::make_unique<cpu::CpuBackend>(); }

}  // namespace sw
