// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "tensor/buffer.h"

namespace sw {

/// What a cache holds. One group: every layer keeps full keys and values of every token.
struct CacheSpec {
  int n_layer = 0, n_head_kv = 0, head_dim = 0;
  Type type = Type::F16;     ///< F32 or F16
  int64_t n_token = 0;       ///< room in all; rounded up to whole pages
  int64_t page_tokens = 64;  ///< at most kMaxPageTokens

  int64_t n_page() const { return (n_token + page_tokens - 1) / page_tokens; }
  /// Of keys and values, all layers.
  size_t size_bytes() const;
};

/// Keys and values in pages that belong to one sequence at a time. All memory is taken at the start.
class PagedCache {
 public:
  /// `memory` [n_layer]: where each layer's pages are; empty: the processor's.
  explicit PagedCache(const CacheSpec& spec, std::span<DeviceMemory* const> memory = {});

  const CacheSpec& spec() const { return spec_; }
  KvLayerView layer(int l) const;
  int64_t n_free_pages() const { return static_cast<int64_t>(free_pages_.size()); }

 private:
  friend class BlockTable;
  CacheSpec spec_;
  size_t page_bytes_ = 0;   // of one layer's keys: [n_head_kv, page_tokens, head_dim]
  size_t layer_bytes_ = 0;  // keys, then values
  std::vector<Buffer> layers_;
  std::vector<int32_t> free_pages_;
};

/// The pages of one sequence, in the order of its tokens. Gives them back when it goes.
class BlockTable {
 public:
  BlockTable(PagedCache& cache, int64_t max_token);
  ~BlockTable() { resize(0); }
  BlockTable(BlockTable&& other) noexcept;
  BlockTable& operator=(BlockTable&& other) noexcept;

  /// Holds room for `n_token` tokens: takes pages or gives them back. False, and nothing changed, where
  /// the cache or the table has too little room. No allocation.
  bool resize(int64_t n_token);
  const int32_t* pages() const { return pages_.data(); }
  int64_t max_token() const { return max_token_; }

 private:
  PagedCache* cache_;
  int64_t max_token_;
  std::vector<int32_t> pages_;
};

}  // namespace sw
