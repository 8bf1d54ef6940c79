// SPDX-License-Identifier: MIT
#include "model/page_copy.h"

#include "base/error.h"

namespace sw {

Backend& PageCopy::device_of(int block) const {
  const int device = placed_.placement().blocks[static_cast<size_t>(block)].attention;
  return *placed_.devices()[static_cast<size_t>(device)];
}

void PageCopy::out(int g, int32_t page, std::span<std::byte> to) const {
  SW_ASSERT(to.size() == cache_.plan().group_page_bytes(g));
  cache_.for_each_part(g, page, [&](int block, std::span<const std::byte> part) {
    device_of(block).copy_out(to.data(), part.data(), part.size());
    to = to.subspan(part.size());
  });
}

void PageCopy::in(int g, int32_t page, std::span<const std::byte> from) const {
  SW_ASSERT(from.size() == cache_.plan().group_page_bytes(g));
  cache_.for_each_part(g, page, [&](int block, std::span<std::byte> part) {
    device_of(block).copy_in(part.data(), from.data(), part.size());
    from = from.subspan(part.size());
  });
}

void PageCopy::wait() const {
  for (const auto& device : placed_.devices()) device->wait();
}

}  // namespace sw
