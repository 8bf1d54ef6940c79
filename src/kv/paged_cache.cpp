// SPDX-License-Identifier: MIT
#include "kv/paged_cache.h"

#include <algorithm>
#include <utility>

#include "kernels/attention_parts.h"

namespace sw {
namespace {

size_t page_bytes_of(const CacheSpec& s) {
  return static_cast<size_t>(s.n_head_kv) * static_cast<size_t>(s.page_tokens) *
         row_bytes(s.type, s.head_dim);
}

}  // namespace

int64_t CacheSpec::n_page(CacheGroup group) const {
  const auto pages = [&](int64_t n) { return (n + page_tokens - 1) / page_tokens; };
  if (group == kFullGroup) return pages(n_token);
  // The window before the first token of a pass and the pass itself, wherever in a page they begin.
  const int64_t whole = pages(n_token / n_seq);
  return n_seq * (n_ahead > 0 ? std::min(whole, pages(window - 1 + n_ahead) + 1) : whole);
}

size_t CacheSpec::layer_bytes(int layer) const {
  return (has_values ? 2 : 1) * page_bytes_of(*this) * static_cast<size_t>(n_page(group_of(layer)));
}

size_t CacheSpec::size_bytes() const {
  size_t all = 0;
  for (int l = 0; l < n_layer; ++l) all += layer_bytes(l);
  return all;
}

PagedCache::PagedCache(const CacheSpec& spec, std::span<DeviceMemory* const> memory) : spec_(spec) {
  SW_ASSERT(spec.page_tokens > 0 && spec.page_tokens <= kMaxPageTokens && spec.n_seq > 0);
  SW_ASSERT(memory.empty() || std::ssize(memory) == spec.n_layer);
  SW_ASSERT(spec.windowed.empty() || (std::ssize(spec.windowed) == spec.n_layer && spec.window > 0));
  for (int l = 0; l < spec.n_layer; ++l) {
    layers_.emplace_back(spec.layer_bytes(l),
                         memory.empty() ? cpu_memory() : *memory[static_cast<size_t>(l)]);
  }
  // Taken from the back, so that a fresh cache gives pages in rising order.
  for (int g = 0; g < spec.n_group(); ++g) {
    const auto n_page = static_cast<int32_t>(spec.n_page(static_cast<CacheGroup>(g)));
    for (int32_t p = n_page; p-- > 0;) free_pages_[static_cast<size_t>(g)].push_back(p);
  }
}

KvLayerView PagedCache::layer(int l) const {
  SW_ASSERT(l >= 0 && l < spec_.n_layer);
  std::byte* keys = layers_[static_cast<size_t>(l)].data();
  return {
      .k = keys,
      .v = spec_.has_values ? keys + spec_.layer_bytes(l) / 2 : nullptr,
      .type = spec_.type,
      .page_tokens = spec_.page_tokens,
      .page_stride_bytes = page_bytes_of(spec_),
      .head_stride_bytes = static_cast<size_t>(spec_.page_tokens) * row_bytes(spec_.type, spec_.head_dim)};
}

BlockTable::BlockTable(PagedCache& cache, int64_t max_token) : cache_(&cache), max_token_(max_token) {
  const int64_t page = cache.spec().page_tokens;
  const auto most = static_cast<size_t>((max_token + page - 1) / page);
  pages_[kFullGroup].reserve(most);
  if (cache.spec().n_group() > 1) pages_[kWindowGroup].assign(most, -1);
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
  std::vector<int32_t>& pages = pages_[kFullGroup];
  std::vector<int32_t>& free = cache_->free_pages_[kFullGroup];
  const auto wanted = static_cast<size_t>(page_of(n_token + cache_->spec().page_tokens - 1));
  if (n_token > max_token_) return false;
  if (wanted > pages.size() && wanted - pages.size() > free.size()) return false;
  while (pages.size() < wanted) {
    pages.push_back(free.back());
    free.pop_back();
  }
  while (pages.size() > wanted) {
    free.push_back(pages.back());
    pages.pop_back();
  }
  if (n_token == 0) slide(0, 0);
  return true;
}

int64_t BlockTable::first_seen_page(int64_t token) const {
  return page_of(std::max<int64_t>(0, token - cache_->spec().window + 1));
}

void BlockTable::slide(int64_t begin, int64_t end) {
  std::vector<int32_t>& free = cache_->free_pages_[kWindowGroup];
  const int64_t first = first_seen_page(begin), last = page_of(end + cache_->spec().page_tokens - 1);
  std::vector<int32_t>& pages = pages_[kWindowGroup];
  const auto is_wanted = [&](int64_t p) { return p >= first && p < last; };
  for (int64_t p = 0; p < std::ssize(pages); ++p) {
    int32_t& page = pages[static_cast<size_t>(p)];
    if (page >= 0 && !is_wanted(p)) free.push_back(std::exchange(page, -1));
  }
  for (int64_t p = first; p < std::min(last, std::ssize(pages)); ++p) {
    int32_t& page = pages[static_cast<size_t>(p)];
    if (page >= 0) continue;
    SW_ASSERT(!free.empty());  // CacheSpec::n_page counts what n_seq sequences need
    page = free.back();
    free.pop_back();
  }
}

bool BlockTable::can_resume(int64_t n_token) const {
  const std::vector<int32_t>& pages = pages_[kWindowGroup];
  const int64_t first = first_seen_page(n_token), last = page_of(n_token + cache_->spec().page_tokens - 1);
  for (int64_t p = first; n_token > 0 && p < std::min(last, std::ssize(pages)); ++p) {
    if (pages[static_cast<size_t>(p)] < 0) return false;
  }
  return true;
}

}  // namespace sw
