// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <memory>

#include "tensor/device_memory.h"

namespace sw {

/// Owned memory of one device, 256-byte aligned, zeroed. Taken at load, never during a step; of the CPU's,
/// the system hands out a page when it is first used.
class Buffer {
 public:
  Buffer() = default;
  /// Throws sw::SystemError ("needs X, have Y") where the memory cannot be had. `memory` must outlive it.
  explicit Buffer(size_t size_bytes, DeviceMemory& memory = cpu_memory());

  std::byte* data() const { return data_.get(); }
  size_t size_bytes() const { return size_bytes_; }
  Device device() const { return device_; }

  template <class T>
  TensorView<T> view(int64_t n_rows, int64_t n_cols, size_t offset_bytes = 0) const {
    SW_ASSERT(offset_bytes + static_cast<size_t>(n_rows * n_cols) * sizeof(T) <= size_bytes_);
    return {reinterpret_cast<T*>(data() + offset_bytes), n_rows, n_cols, n_cols, device_};
  }

 private:
  struct Free {
    DeviceMemory* memory;
    void operator()(std::byte* p) const { memory->release(p); }
  };
  std::unique_ptr<std::byte, Free> data_{nullptr, Free{nullptr}};
  size_t size_bytes_ = 0;
  Device device_ = {};
};

}  // namespace sw
