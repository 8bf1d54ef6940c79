// SPDX-License-Identifier: MIT
#include "kv/paged_cache.h"

#include <utility>

#include "kernels/attention_parts.h"

namespace sw {
namespace {

size_t page_bytes_of(const CacheSpec& s) {
  return static_cast<size_t>(s.n_head_kv) * static_cast<size_t>(s.page_tokens) *
         row_bytes(s.type, s.head_dim);
}

}  // namespace

size_t CacheSpec::size_bytes() const {
  return 2 * page_bytes_of(*this) * static_cast<size_t>(n_page()) * static_cast<size_t>(n_layer);
}

PagedCache::PagedCache(const CacheSpec& spec, std::span<DeviceMemory* const> memory)
    : spec_(spec),
      page_bytes_(page_bytes_of(spec)),
      layer_bytes_(2 * page_bytes_ * static_cast<size_t>(spec.n_page())) {
  SW_ASSERT(spec.page_tokens > 0 && spec.page_tokens <= kMaxPageTokens);
  SW_ASSERT(memory.empty() || std::ssize(memory) == spec.n_layer);
  for (int l = 0; l < spec.n_layer; ++l) {
    layers_.emplace_back(layer_bytes_, memory.empty() ? cpu_memory() : *memory[static_cast<size_t>(l)]);
  }
  // Taken from the back, so that a fresh cache gives pages in rising order.
  for (int64_t p = spec.n_page(); p-- > 0;) free_pages_.push_back(static_cast<int32_t>(p));
}

KvLayerView PagedCache::layer(int l) const {
  SW_ASSERT(l >= 0 && l < spec_.n_layer);
  std::byte* keys = layers_[static_cast<size_t>(l)].data();
  return {
      .k = keys,
      .v = keys + layer_bytes_ / 2,
      .type = spec_.type,
      .page_tokens = spec_.page_tokens,
      .page_stride_bytes = page_bytes_,
      .head_stride_bytes = static_cast<size_t>(spec_.page_tokens) * row_bytes(spec_.type, spec_.head_dim)};
}

BlockTable::BlockTable(PagedCache& cache, int64_t max_token) : cache_(&cache), max_token_(max_token) {
  const int64_t page = cache.spec().page_tokens;
  pages_.reserve(static_cast<size_t>((max_token + page - 1) / page));
}

BlockTable::BlockTable(BlockTable&& other) noexcept
    : cache_(other.cache_), max_token_(other.max_token_), pages_(std::exchange(other.pages_, {})) {}

BlockTable& BlockTable::operator=(BlockTable&& other) noexcept {
  std::swap(cache_, other.cache_);
  std::swap(max_token_, other.max_token_);
  std::swap(pages_, other.pages_);
  return *this;
}

bool BlockTable::resize(int64_t n_token) {
  const int64_t page = cache_->spec().page_tokens;
  const auto wanted = static_cast<size_t>((n_token + page - 1) / page);
  if (n_token > max_token_) return false;
  if (wanted > pages_.size() && wanted - pages_.size() > cache_->free_pages_.size()) return false;
  while (pages_.size() < wanted) {
    pages_.push_back(cache_->free_pages_.back());
    cache_->free_pages_.pop_back();
  }
  while (pages_.size() > wanted) {
    cache_->free_pages_.push_back(pages_.back());
    pages_.pop_back();
  }
  return true;
}

}  // namespace sw
