// SPDX-License-Identifier: MIT
#include "kv/paged_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

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
  const int64_t whole = pages(max_token > 0 ? max_token : n_token / n_seq);
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
  for (int g = 0; g < spec.n_group(); ++g) pools_.emplace_back(spec.n_page(static_cast<CacheGroup>(g)));
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
    : cache_(other.cache_),
      max_token_(other.max_token_),
      held_(other.held_),
      pages_(std::exchange(other.pages_, {})) {}

BlockTable& BlockTable::operator=(BlockTable&& other) noexcept {
  std::swap(cache_, other.cache_);
  std::swap(max_token_, other.max_token_);
  std::swap(held_, other.held_);
  std::swap(pages_, other.pages_);
  return *this;
}

bool BlockTable::resize(int64_t n_token) {
  std::vector<int32_t>& pages = pages_[kFullGroup];
  const int64_t wanted = page_of(n_token + cache_->spec().page_tokens - 1);
  if (n_token > max_token_ || wanted - std::ssize(pages) > pool(kFullGroup).n_idle()) return false;
  while (std::ssize(pages) < wanted) pages.push_back(pool(kFullGroup).take());
  // From the end, so that of a text that others may go on from its end is lost before its beginning.
  while (std::ssize(pages) > wanted) {
    pool(kFullGroup).release(pages.back());
    pages.pop_back();
  }
  if (n_token == 0) slide(0, 0);
  return true;
}

int64_t BlockTable::first_seen_page(int64_t token) const {
  return page_of(std::max<int64_t>(0, token - cache_->spec().window + 1));
}

void BlockTable::slide(int64_t begin, int64_t end) {
  const int64_t first = first_seen_page(std::min(begin, held_));
  const int64_t last = page_of(end + cache_->spec().page_tokens - 1);
  std::vector<int32_t>& pages = pages_[kWindowGroup];
  const auto is_wanted = [&](int64_t p) { return p >= first && p < last; };
  for (int64_t p = 0; p < std::ssize(pages); ++p) {
    int32_t& page = pages[static_cast<size_t>(p)];
    if (page >= 0 && !is_wanted(p)) pool(kWindowGroup).release(std::exchange(page, -1));
  }
  for (int64_t p = first; p < std::min(last, std::ssize(pages)); ++p) {
    // CacheSpec::n_page counts what n_seq sequences need, so there is one.
    int32_t& page = pages[static_cast<size_t>(p)];
    if (page < 0) page = pool(kWindowGroup).take();
  }
}

bool BlockTable::window_is_there(std::span<const PageKey> keys) const {
  if (pages_[kWindowGroup].empty()) return true;
  const int64_t n_token = std::ssize(keys) * cache_->spec().page_tokens;
  const auto seen = keys.subspan(static_cast<size_t>(first_seen_page(n_token)));
  return std::all_of(seen.begin(), seen.end(),
                     [&](const PageKey& key) { return pool(kWindowGroup).find(key) >= 0; });
}

int64_t BlockTable::adopt(std::span<const PageKey> keys) {
  SW_ASSERT(pages_[kFullGroup].empty());
  size_t n = 0;
  while (n < keys.size() && pool(kFullGroup).find(keys[n]) >= 0) ++n;
  while (!window_is_there(keys.first(n))) --n;  // the first token sees nothing before it
  const int64_t n_token = static_cast<int64_t>(n) * cache_->spec().page_tokens;
  SW_ASSERT(n_token <= max_token_);
  for (size_t p = 0; p < n; ++p) {
    pages_[kFullGroup].push_back(pool(kFullGroup).find(keys[p]));
    pool(kFullGroup).share(pages_[kFullGroup].back());
  }
  if (pages_[kWindowGroup].empty()) return n_token;
  for (auto p = static_cast<size_t>(first_seen_page(n_token)); p < n; ++p) {
    pages_[kWindowGroup][p] = pool(kWindowGroup).find(keys[p]);
    pool(kWindowGroup).share(pages_[kWindowGroup][p]);
  }
  return n_token;
}

void BlockTable::publish(int64_t page, const PageKey& key) {
  for (const CacheGroup group : {kFullGroup, kWindowGroup}) {
    const auto p = static_cast<size_t>(page);
    if (p < pages_[group].size() && pages_[group][p] >= 0) pool(group).publish(pages_[group][p], key);
  }
}

void BlockTable::forget() {
  for (const CacheGroup group : {kFullGroup, kWindowGroup}) {
    for (const int32_t page : pages_[group]) {
      if (page >= 0) pool(group).forget(page);
    }
  }
}

}  // namespace sw
