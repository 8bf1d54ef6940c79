// SPDX-License-Identifier: MIT
#include "kv/cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace sw {

Cache::Cache(CachePlan plan, std::span<DeviceMemory* const> memory) : plan_(std::move(plan)) {
  SW_ASSERT(plan_.page_tokens > 0 && plan_.page_tokens <= kMaxPageTokens && plan_.n_seq > 0);
  SW_ASSERT(plan_.snapshot_tokens % plan_.page_tokens == 0);
  SW_ASSERT(memory.empty() || std::ssize(memory) >= plan_.n_block());
  for (int b = 0; b < plan_.n_block(); ++b) {
    blocks_.emplace_back(plan_.block_bytes(b),
                         memory.empty() ? cpu_memory() : *memory[static_cast<size_t>(b)]);
  }
  for (int g = 0; g < plan_.n_group(); ++g) {
    SW_ASSERT(plan_.group(g).kind != CacheKind::Window || plan_.group(g).window > 0);
    pools_.emplace_back(plan_.n_page(g));
  }
}

KvLayerView Cache::layer(int block) const {
  const int g = plan_.group_of(block);
  SW_ASSERT(g >= 0 && !plan_.group(g).is_state());
  std::byte* keys = blocks_[static_cast<size_t>(block)].data();
  const CacheGroup& group = plan_.group(g);
  const auto n_head = static_cast<size_t>(group.n_head_kv);
  const size_t key_bytes = plan_.part_bytes(g, 0),
               value_bytes = group.has_values() ? plan_.part_bytes(g, 1) : 0;
  return {.k = keys,
          .v = group.has_values() ? keys + key_bytes * static_cast<size_t>(plan_.n_page(g)) : nullptr,
          .type = plan_.type.k,
          .page_tokens = plan_.page_tokens,
          .page_stride_bytes = key_bytes,
          .head_stride_bytes = key_bytes / n_head,
          .v_type = plan_.type.v,
          .v_page_stride_bytes = value_bytes,
          .v_head_stride_bytes = value_bytes / n_head};
}

StateView Cache::state(int block) const {
  const int g = plan_.group_of(block);
  SW_ASSERT(g >= 0 && plan_.group(g).is_state());
  return {reinterpret_cast<float*>(blocks_[static_cast<size_t>(block)].data()),
          static_cast<int64_t>(plan_.page_bytes(g) / sizeof(float))};
}

size_t Cache::n_whole_pages(std::span<const PageKey> keys) const {
  size_t n = keys.size();
  for (int g = 0; g < plan_.n_group(); ++g) {
    if (!plan_.group(g).keeps_all_tokens()) continue;
    const auto is_missing = [&](const PageKey& key) { return find_page(g, key) < 0; };
    n = static_cast<size_t>(
        std::find_if(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(n), is_missing) - keys.begin());
  }
  return n;
}

bool Cache::can_go_on_after(std::span<const PageKey> keys) const {
  const int64_t n_token = std::ssize(keys) * plan_.page_tokens;
  for (int g = 0; g < plan_.n_group(); ++g) {
    if (plan_.group(g).keeps_all_tokens()) continue;
    const size_t first =
        plan_.group(g).is_state() ? keys.size() - 1 : static_cast<size_t>(plan_.first_seen_page(g, n_token));
    const auto needed = keys.subspan(first);
    const auto is_there = [&](const PageKey& key) { return find_page(g, key) >= 0; };
    if (!std::all_of(needed.begin(), needed.end(), is_there)) return false;
  }
  return true;
}

size_t Cache::n_reusable_pages(std::span<const PageKey> keys) const {
  size_t n = n_whole_pages(keys);
  while (n > 0 && !can_go_on_after(keys.first(n))) --n;
  return n;
}

void Cache::drop_names(std::span<const PageKey> keys) {
  for (int g = 0; g < plan_.n_group(); ++g) {
    for (const PageKey& key : keys) {
      if (const int32_t page = find_page(g, key); page >= 0) pool(g).forget(page);
    }
  }
}

void Cache::touch(int g, const PageKey& key) {
  const int32_t page = find_page(g, key);
  if (page < 0) return;
  pool(g).share(page);
  pool(g).release(page);
}

}  // namespace sw
