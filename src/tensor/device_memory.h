// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>

#include "tensor/view.h"

namespace sw {

/// Where a Buffer takes its memory from: one device's. Lives longer than its buffers.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual Device device() const = 0;
  /// Zeroed, aligned to 256 bytes. Throws sw::SystemError "needs X, have Y".
  virtual std::byte* allocate(size_t size_bytes) = 0;
  virtual void release(std::byte* data) noexcept = 0;
};

/// The CPU's.
DeviceMemory& cpu_memory();

}  // namespace sw
