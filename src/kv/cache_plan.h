// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kv/cache_kind.h"
#include "kv/cache_type.h"

/// The cache, in words.
///
/// A cache keeps what tokens to come need of the tokens before, so that no token is computed twice. Blocks
/// that keep the same in the same shape are a *group*; a model has as many groups as it has kinds of blocks.
///
/// Every group hands out *pages*, one number for all of its blocks. In a group of keys and values (Pages,
/// Window, Latent) a page holds `page_tokens` tokens of one sequence, and a sequence has a table of pages by
/// position. In a State group a page holds one whole state, which is what the block knows after so many
/// tokens of a sequence, and a sequence has pages for the few positions that a pass may go on from.
///
/// A page with a name (PageKey: all tokens up to its end, each with its routing policy) is not written any
/// more and may be read by many. When its last user goes it stays, until the page is needed and no other has
/// been out of use for longer. A prefix is reused where all groups still have what its next token needs: all
/// pages of it, or those in the window, or the state at its end.
///
/// Kinds differ in how a sequence goes back, which drafts make it do. Keys are written again over the old
/// ones. A state cannot be: a pass reads one page and writes others, and going back is choosing another page.
namespace sw {

/// Blocks that keep the same of the tokens before, in the same shape.
struct CacheGroup {
  CacheKind kind = CacheKind::Pages;
  int n_head_kv = 0,
      head_dim = 0;              ///< of keys, and of values but in Latent; Latent: one head of all it keeps
  int window = 0;                ///< Window: a token sees so many, itself included
  int64_t state_floats = 0;      ///< State: of one block and sequence
  std::vector<int> blocks = {};  ///< those that it serves, in rising order

  bool is_state() const { return kind == CacheKind::State; }
  bool keeps_all_tokens() const { return kind == CacheKind::Pages || kind == CacheKind::Latent; }
  bool has_values() const { return kind == CacheKind::Pages || kind == CacheKind::Window; }
  /// Keys and values lie apart: stretches of memory that a page has in a block.
  size_t n_part() const { return has_values() ? 2 : 1; }
};

/// What a cache holds, and for how many.
struct CachePlan {
  std::vector<CacheGroup> groups = {};
  CacheType type = {};            ///< of keys and of values; states are F32
  int64_t page_tokens = 64;       ///< at most kMaxPageTokens
  int64_t n_token = 0;            ///< room in all; rounded up to whole pages
  int64_t n_seq = 1;              ///< sequences that share n_token; each has its own windows and states
  int64_t max_token = 0;          ///< of one sequence; 0: n_token / n_seq
  int64_t n_ahead = 0;            ///< most tokens of a sequence in one pass; 0: any number
  int64_t n_draft = 0;            ///< State: most drafts in one pass
  int64_t n_snapshot = 0;         ///< State: further pages for the states that prefixes are reused from
  int64_t snapshot_tokens = 512;  ///< such states lie so far apart; a multiple of page_tokens

  int n_group() const { return static_cast<int>(groups.size()); }
  const CacheGroup& group(int g) const { return groups[static_cast<size_t>(g)]; }
  /// The group that serves a block; -1 where none does.
  int group_of(int block) const;
  /// One more than the last block that a group serves.
  int n_block() const;
  bool has_states() const;
  /// Whether any group keeps values beside its keys.
  bool has_values() const;
  /// Pages that hold `n` tokens.
  int64_t pages_for(int64_t n) const { return (n + page_tokens - 1) / page_tokens; }
  /// Pages of a group. So many that a sequence always finds those of its window and of its states; the pages
  /// of all tokens are shared by need.
  int64_t n_page(int g) const;
  /// The first page that a token at position `token` sees.
  int64_t first_seen_page(int g, int64_t token) const;
  /// Keys (part 0), values (part 1) or state (part 0) of one block in one page.
  size_t part_bytes(int g, size_t part) const;
  /// All parts of one block in one page.
  size_t page_bytes(int g) const;
  /// One page of a group, all blocks together.
  size_t group_page_bytes(int g) const;
  /// Of one block, of all.
  size_t block_bytes(int block) const;
  size_t size_bytes() const;
};

}  // namespace sw
