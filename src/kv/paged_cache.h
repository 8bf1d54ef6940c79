// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kv/layer_view.h"
#include "kv/page_pool.h"
#include "tensor/buffer.h"

namespace sw {

/// Pages come and go in groups of layers: those that see every token before, and those with a window, whose
/// pages are given back once no token to come sees them.
enum CacheGroup : int { kFullGroup = 0, kWindowGroup = 1, kMaxCacheGroups = 2 };

/// What a cache holds.
struct CacheSpec {
  int n_layer = 0, n_head_kv = 0, head_dim = 0;
  bool has_values = true;              ///< false: keys alone, as latent attention keeps them
  Type type = Type::F16;               ///< F32 or F16
  int64_t n_token = 0;                 ///< room in all; rounded up to whole pages
  int64_t page_tokens = 64;            ///< at most kMaxPageTokens
  int window = 0;                      ///< where layers have one: a token sees so many, itself included
  std::vector<uint8_t> windowed = {};  ///< [n_layer] 1 for a layer with the window; empty: none has it
  int64_t n_seq = 1;                   ///< sequences that share n_token
  int64_t max_token = 0;               ///< of one sequence; 0: n_token / n_seq
  int64_t n_ahead = 0;                 ///< most tokens of a sequence in one pass; 0: any number

  CacheGroup group_of(int layer) const {
    return windowed.empty() || windowed[static_cast<size_t>(layer)] == 0 ? kFullGroup : kWindowGroup;
  }
  int n_group() const { return windowed.empty() ? 1 : 2; }
  /// Pages of one layer of the group.
  int64_t n_page(CacheGroup group = kFullGroup) const;
  /// Of one layer, of all layers.
  size_t layer_bytes(int layer) const;
  size_t size_bytes() const;
};

/// Keys and values in pages. A page is written by one sequence; a whole one may be read by many. All memory
/// is taken at the start.
class PagedCache {
 public:
  /// `memory` [n_layer]: where each layer's pages are; empty: the processor's.
  explicit PagedCache(const CacheSpec& spec, std::span<DeviceMemory* const> memory = {});

  const CacheSpec& spec() const { return spec_; }
  KvLayerView layer(int l) const;
  /// Pages that no sequence uses, whether or not something stands in them that may be used again.
  int64_t n_free_pages(CacheGroup group = kFullGroup) const {
    return pools_[static_cast<size_t>(group)].n_idle();
  }

 private:
  friend class BlockTable;
  CacheSpec spec_;
  std::vector<Buffer> layers_;
  std::vector<PagePool> pools_;  // by group
};

/// The pages of one sequence, in the order of its tokens: first those that it shares, then its own. Gives
/// them back when it goes.
class BlockTable {
 public:
  BlockTable(PagedCache& cache, int64_t max_token);
  ~BlockTable() { resize(0); }
  BlockTable(BlockTable&& other) noexcept;
  BlockTable& operator=(BlockTable&& other) noexcept;

  /// Holds room for `n_token` tokens: takes pages or gives them back. False, and nothing changed, where
  /// the cache or the table has too little room. No allocation. Layers with a window take theirs in slide().
  bool resize(int64_t n_token);
  /// Makes the windowed layers ready for a pass over the tokens [begin, end): gives back what none of them
  /// sees, takes what they fill. Nothing in a cache without windows.
  void slide(int64_t begin, int64_t end);
  /// From now on slide() keeps what a pass from `token` on sees, wherever its own begins: a pass will come
  /// back.
  void hold(int64_t token) { held_ = token; }
  /// Begins an empty table with the pages of these names, as many from the first on as are there: in every
  /// layer that sees all tokens, and what the token behind them sees in those with a window. Returns how
  /// many tokens stand in them. The sequence must not write there.
  int64_t adopt(std::span<const PageKey> keys);
  /// Names a page that is full, so that others may adopt it.
  void publish(int64_t page, const PageKey& key);
  /// Takes the names of all pages away: nobody shall go on from them.
  void forget();
  /// Page numbers; -1 for a windowed layer's page that is not held.
  const int32_t* pages(CacheGroup group = kFullGroup) const { return pages_[group].data(); }
  int64_t max_token() const { return max_token_; }

 private:
  int64_t page_of(int64_t token) const { return token / cache_->spec().page_tokens; }
  int64_t first_seen_page(int64_t token) const;
  PagePool& pool(CacheGroup group) const { return cache_->pools_[static_cast<size_t>(group)]; }
  bool window_is_there(std::span<const PageKey> keys) const;

  PagedCache* cache_;
  int64_t max_token_;
  int64_t held_ = std::numeric_limits<int64_t>::max();
  std::array<std::vector<int32_t>, kMaxCacheGroups> pages_;
};

}  // namespace sw
