// SPDX-License-Identifier: MIT
#include "tensor/buffer.h"

#include <cstdint>
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
    // Large memory is fresh from the system, which clears a page when it is first used: a cache takes what
    // its texts fill, not what its context could.
    const size_t alignment = size_bytes < kPage ? kAlignment : kPage;
    const size_t rounded = (size_bytes + alignment - 1) / alignment * alignment;
    // The system promises more than it has, and ends the program when the promise is called in.
    const bool too_much = size_bytes >= kWorthAsking && size_bytes > available_memory_bytes();
    const size_t whole = rounded + alignment + sizeof(void*);
    void* p = too_much || rounded < size_bytes || whole < rounded ? nullptr : std::calloc(1, whole);
    if (!p) refuse_memory(size_bytes, "", "a smaller context (-c) or u-batch (-ub) needs less");
    const auto begin = reinterpret_cast<uintptr_t>(p) + sizeof(void*);
    auto* data = reinterpret_cast<std::byte*>((begin + alignment - 1) / alignment * alignment);
    std::memcpy(data - sizeof(void*), &p, sizeof(void*));  // for release()
    return data;
  }
  void release(std::byte* data) noexcept override {
    void* p = nullptr;
    std::memcpy(&p, data - sizeof(void*), sizeof(void*));
    std::free(p);
  }
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
