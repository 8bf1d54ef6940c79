// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/cache.h"

namespace sw {

/// Drafts among the tokens of a pass and before them: the text may end before any of these.
struct PassDrafts {
  int64_t n_before = 0;  ///< right before the pass: a later pass starts again before them
  int64_t n_within = 0;  ///< at the end of the pass, fewer than its tokens
};

/// What one sequence has of a cache: a table of pages in each group of keys and values, first those that it
/// shares, then its own; and the pages of its states in each State group. Gives everything back when it goes.
///
/// Before each pass prepare() takes what the pass needs, in all groups; the pass itself only reads this.
/// Nothing allocates after the constructor.
class SequenceCache {
 public:
  SequenceCache(Cache& cache, int64_t max_token);
  ~SequenceCache() { clear(); }
  SequenceCache(SequenceCache&& other) noexcept;
  SequenceCache& operator=(SequenceCache&& other) noexcept;

  /// Takes the pages of tokens [0, n_token) in the groups that keep every token. False, and nothing changed,
  /// where there is no room.
  bool reserve(int64_t n_token);
  /// Takes what a pass over the tokens [begin, end) needs and gives back what neither it nor a later one
  /// does: pages, windows, and pages for the state after the last token or, with drafts, after each token at
  /// which the text may end. What stands behind `begin` from an earlier pass is written again. False, and
  /// nothing changed, where there is no room; a cache with as many sequences as its plan says can only lack
  /// pages of reserve().
  bool prepare(int64_t begin, int64_t end, const PassDrafts& drafts = {});
  /// After prepare(): keeps the state after the first `n_token` tokens too, for publish(). Does nothing where
  /// no page is idle; so that nobody's pass lacks one for it, all sequences of a batch are prepared first.
  void keep_snapshot(int64_t n_token);
  /// After the pass: gives all states back but the one after `n_token` tokens, which is where the text ends.
  void settle(int64_t n_token);
  /// Gives everything back. Named pages can still be reused.
  void clear();

  /// Begins, while empty, with the longest prefix of these pages after which every group has what the next
  /// token needs. Returns its tokens; the sequence must not write there.
  int64_t reuse_prefix(std::span<const PageKey> keys);
  /// Names page `page` of the text, whose tokens are all computed, and the snapshot at its end, if any.
  void publish(int64_t page, const PageKey& key);
  /// Cache::drop_names().
  void drop_names(std::span<const PageKey> keys) { cache_->drop_names(keys); }

  /// Page numbers of a group of keys and values, by position / page_tokens; -1 for one that is not held.
  const int32_t* pages(int g) const { return table(g).pages.data(); }
  /// The page of a State group that holds the state before the pass's first token; -1: the state is zeros.
  int32_t state_from(int g) const;
  /// The page where the state after the pass's token at `pos` is to be stored; -1: nowhere.
  int32_t state_to(int g, int64_t pos) const;
  int64_t max_token() const { return max_token_; }

 private:
  struct Range {
    int64_t first = 0, last = 0;
    int64_t size() const { return last - first; }
  };
  /// Keys and values: `pages` by position, of which those in `held` are taken. State: `pages` in the order of
  /// states_.
  struct Table {
    std::vector<int32_t> pages = {};
    Range held = {};
  };
  struct State {
    int64_t n_token = 0;  // after so many
    bool snapshot = false;
  };

  const CachePlan& plan() const { return cache_->plan(); }
  const Table& table(int g) const { return tables_[static_cast<size_t>(g)]; }
  Table& table(int g) { return tables_[static_cast<size_t>(g)]; }
  PagePool& pool(int g) const { return cache_->pool(g); }
  int n_group() const { return static_cast<int>(tables_.size()); }

  static std::array<Range, 2> outside(const Range& range, const Range& of);
  Range wanted(int g, int64_t begin, int64_t end) const;
  int64_t n_lacking(int g, const Range& wanted) const;
  void hold(int g, const Range& wanted);
  int64_t find_state(int64_t n_token) const;
  int32_t state_page(int g, int64_t n_token) const;
  void add_state(int64_t n_token);
  template <class Keeps>
  void drop_states(Keeps&& keeps);

  Cache* cache_;
  int64_t max_token_;
  std::vector<Table> tables_;  // by group
  std::vector<State> states_;  // the same in every State group
  int64_t begin_ = 0;          // of the pass
};

}  // namespace sw
