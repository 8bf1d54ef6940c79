// SPDX-License-Identifier: MIT
#include "tensor/buffer.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/memory.h"

namespace sw {
namespace {

constexpr size_t kAlignment = 256, kPage = 4096;
constexpr size_t kWorthAsking = size_t{16} << 20;

class CpuMemory : public DeviceMemory {
 public:
  Device device() const override { return {}; }
  std::byte* allocate(size_t size_bytes) override {
    // Whole pages for all but small change: memory that is pinned for a GPU must share none with others.
    const size_t alignment = size_bytes < kPage ? kAlignment : kPage;
    const size_t rounded = (size_bytes + alignment - 1) / alignment * alignment;
    // The system promises more than it has, and ends the program when the promise is called in.
    const bool too_much = size_bytes >= kWorthAsking && size_bytes > available_memory_bytes();
    void* p = too_much || rounded < size_bytes ? nullptr : std::aligned_alloc(alignment, rounded);
    if (!p) refuse_memory(size_bytes, "", "a smaller context (-c) or u-batch (-ub) needs less");
    std::memset(p, 0, rounded);
    return static_cast<std::byte*>(p);
  }
  void release(std::byte* data) noexcept override { std::free(data); }
};

}  // namespace

DeviceMemory& cpu_memory() {
  static CpuMemory memory;
  return memory;
}

Buffer::Buffer(size_t size_bytes, DeviceMemory& memory)
    : data_(size_bytes > 0 ? memory.allocate(size_bytes) : nullptr, Free{&memory}),
      size_bytes_(size_bytes),
      device_(memory.device()) {}

}  // namespace sw
