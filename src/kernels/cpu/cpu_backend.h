// SPDX-License-Identifier: MIT
#pragma once
#include <cstring>

#include "kernels/backend.h"

namespace sw::cpu {

/// The CPU as a device: whatever is queued has been done when the call returns.
class CpuBackend : public Backend {
 public:
  CpuBackend();

  Device device() const override { return {}; }
  MemoryFacts memory() const override;
  bool host_visible() const override { return true; }

  std::byte* allocate(size_t size_bytes) override;
  void release(std::byte* data) noexcept override;

  void copy_in(std::byte* to, const void* host, size_t size_bytes) override;
  void copy_out(void* host, const std::byte* from, size_t size_bytes) override;
  void copy_from(Backend& from, std::span<const DeviceCopy> copies) override;
  void zero(std::byte* data, size_t size_bytes) override;
  void add(float* x, const float* y, int64_t n) override;

  std::unique_ptr<Timeline> make_timeline() override;
  double measure_read_limit(ThreadPool& pool) override;

 protected:
  explicit CpuBackend(DeviceInfo info) : Backend(std::move(info)) {}
};

}  // namespace sw::cpu
