// SPDX-License-Identifier: MIT
#include "tensor/buffer.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace sw {
namespace {
constexpr size_t kAlignment = 64;
}

void Buffer::Free::operator()(std::byte* p) const { std::free(p); }

Buffer::Buffer(size_t size_bytes, Device device) : size_bytes_(size_bytes), device_(device) {
  SW_ASSERT(device.is_cpu());
  if (size_bytes == 0) return;
  const size_t rounded = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* p = rounded < size_bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (!p) {
    throw SystemError({.what = "not enough memory",
                       .got = "a need of " + std::to_string(size_bytes >> 20) + " MiB",
                       .hint = "a smaller context (-c) or u-batch (-ub) needs less"});
  }
  std::memset(p, 0, rounded);
  data_.reset(static_cast<std::byte*>(p));
}

}  // namespace sw
