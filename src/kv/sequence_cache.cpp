// SPDX-License-Identifier: MIT
#include "kv/sequence_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace sw {

SequenceCache::SequenceCache(Cache& cache, int64_t max_token)
    : cache_(&cache), max_token_(max_token), tables_(cache.plan().groups.size()) {
  for (int g = 0; g < n_group(); ++g) {
    if (plan().group(g).is_state()) {
      table(g).pages.reserve(static_cast<size_t>(plan().n_page(g)));
      states_.reserve(table(g).pages.capacity());
    } else {
      table(g).pages.assign(static_cast<size_t>(plan().pages_for(max_token)), -1);
    }
  }
}

SequenceCache::SequenceCache(SequenceCache&& other) noexcept
    : cache_(other.cache_),
      max_token_(other.max_token_),
      tables_(std::exchange(other.tables_, {})),
      states_(std::exchange(other.states_, {})),
      begin_(other.begin_) {}

SequenceCache& SequenceCache::operator=(SequenceCache&& other) noexcept {
  std::swap(cache_, other.cache_);
  std::swap(max_token_, other.max_token_);
  std::swap(tables_, other.tables_);
  std::swap(states_, other.states_);
  std::swap(begin_, other.begin_);
  return *this;
}

/// What is in `range` and not in `of`: before it and behind it.
std::array<SequenceCache::Range, 2> SequenceCache::outside(const Range& range, const Range& of) {
  const Range before{range.first, std::min(range.last, of.first)},
      behind{std::max(range.first, of.last), range.last};
  const auto or_none = [](const Range& r) { return r.size() > 0 ? r : Range{}; };
  return {or_none(before), or_none(behind)};
}

/// The pages that a pass over [begin, end) reads and writes; a group that keeps every token has them for
/// tokens to come too, once reserved.
SequenceCache::Range SequenceCache::wanted(int g, int64_t begin, int64_t end) const {
  const int64_t last = plan().pages_for(end);
  if (plan().group(g).kind == CacheKind::Window) return {plan().first_seen_page(g, begin), last};
  return {0, std::max(last, table(g).held.last)};
}

/// Pages to take for `wanted`, less those that come free for it.
int64_t SequenceCache::n_lacking(int g, const Range& wanted) const {
  int64_t n = 0;
  for (const Range& more : outside(wanted, table(g).held)) n += more.size();
  for (const Range& less : outside(table(g).held, wanted)) {
    for (int64_t p = less.first; p < less.last; ++p)
      n -= pool(g).n_user(table(g).pages[static_cast<size_t>(p)]) == 1;
  }
  return n;
}

void SequenceCache::hold(int g, const Range& wanted) {
  const Range held = std::exchange(table(g).held, wanted);
  const auto page = [&](int64_t p) -> int32_t& { return table(g).pages[static_cast<size_t>(p)]; };
  for (const Range& less : outside(held, wanted)) {
    // From the end, so that of a text that others may go on from its end is lost before its beginning.
    for (int64_t p = less.last; p-- > less.first;) pool(g).release(std::exchange(page(p), -1));
  }
  for (const Range& more : outside(wanted, held)) {
    for (int64_t p = more.first; p < more.last; ++p) page(p) = pool(g).take();
  }
}

bool SequenceCache::reserve(int64_t n_token) {
  if (n_token > max_token_) return false;
  const auto lacks_room = [&](int g) { return n_lacking(g, wanted(g, 0, n_token)) > pool(g).n_idle(); };
  for (int g = 0; g < n_group(); ++g) {
    if (plan().group(g).keeps_all_tokens() && lacks_room(g)) return false;
  }
  for (int g = 0; g < n_group(); ++g) {
    if (plan().group(g).keeps_all_tokens()) hold(g, wanted(g, 0, n_token));
  }
  return true;
}

bool SequenceCache::prepare(int64_t begin, int64_t end, const PassDrafts& drafts) {
  SW_ASSERT(begin < end && drafts.n_before <= begin && drafts.n_within < end - begin);
  if (end > max_token_) return false;
  const int64_t restart = begin - drafts.n_before;
  const auto keeps = [&](const State& s) { return s.n_token == begin || s.n_token == restart; };
  for (int g = 0; g < n_group(); ++g) {
    int64_t n = 0;
    if (plan().group(g).is_state()) {
      n = 1 + drafts.n_within;
      for (size_t i = 0; i < states_.size(); ++i)
        n -= !keeps(states_[i]) && pool(g).n_user(table(g).pages[i]) == 1;
    } else {
      n = n_lacking(g, wanted(g, restart, end));
    }
    if (n > pool(g).n_idle()) return false;
  }
  for (int g = 0; g < n_group(); ++g) {
    if (!plan().group(g).is_state()) hold(g, wanted(g, restart, end));
  }
  begin_ = begin;
  if (!plan().has_states()) return true;
  drop_states(keeps);
  SW_ASSERT(begin == 0 || find_state(begin) >= 0);
  for (int64_t n = end - drafts.n_within; n <= end; ++n) add_state(n);
  return true;
}

void SequenceCache::keep_snapshot(int64_t n_token) {
  if (!plan().has_states()) return;
  SW_ASSERT(n_token > begin_);
  int64_t at = find_state(n_token);
  for (int g = 0; at < 0 && g < n_group(); ++g) {
    if (plan().group(g).is_state() && pool(g).n_idle() == 0) return;
  }
  if (at < 0) {
    add_state(n_token);
    at = std::ssize(states_) - 1;
  }
  states_[static_cast<size_t>(at)].snapshot = true;
}

void SequenceCache::settle(int64_t n_token) {
  drop_states([&](const State& s) { return s.n_token == n_token; });
}

void SequenceCache::clear() {
  drop_states([](const State&) { return false; });
  for (int g = 0; g < n_group(); ++g) hold(g, {});
}

int64_t SequenceCache::find_state(int64_t n_token) const {
  const auto at =
      std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.n_token == n_token; });
  return at == states_.end() ? -1 : at - states_.begin();
}

int32_t SequenceCache::state_page(int g, int64_t n_token) const {
  const int64_t at = find_state(n_token);
  return at < 0 ? -1 : table(g).pages[static_cast<size_t>(at)];
}

int32_t SequenceCache::state_from(int g) const { return state_page(g, begin_); }

int32_t SequenceCache::state_to(int g, int64_t pos) const { return state_page(g, pos + 1); }

void SequenceCache::add_state(int64_t n_token) {
  states_.push_back({.n_token = n_token});
  for (int g = 0; g < n_group(); ++g) {
    if (plan().group(g).is_state()) table(g).pages.push_back(pool(g).take());
  }
}

template <class Keeps>
void SequenceCache::drop_states(Keeps&& keeps) {
  size_t n_kept = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    const bool keep = keeps(states_[i]);
    for (int g = 0; g < n_group(); ++g) {
      if (!plan().group(g).is_state()) continue;
      const int32_t page = table(g).pages[i];
      if (keep) {
        table(g).pages[n_kept] = page;
      } else {
        pool(g).release(page);
      }
    }
    if (keep) states_[n_kept++] = states_[i];
  }
  states_.resize(n_kept);
  for (int g = 0; g < n_group(); ++g) {
    if (plan().group(g).is_state()) table(g).pages.resize(n_kept);
  }
}

int64_t SequenceCache::reuse_prefix(std::span<const PageKey> keys) {
  SW_ASSERT(states_.empty());
  const size_t n = cache_->n_reusable_pages(keys);
  const int64_t n_token = static_cast<int64_t>(n) * plan().page_tokens;
  SW_ASSERT(n_token <= max_token_);
  if (n == 0) return 0;
  const auto share = [&](int g, size_t p) {
    const int32_t page = pool(g).find(keys[p]);
    pool(g).share(page);
    return page;
  };
  for (int g = 0; g < n_group(); ++g) {
    if (plan().group(g).is_state()) {
      table(g).pages.push_back(share(g, n - 1));
      continue;
    }
    SW_ASSERT(table(g).held.size() == 0);
    table(g).held = {plan().first_seen_page(g, n_token), static_cast<int64_t>(n)};
    for (auto p = static_cast<size_t>(table(g).held.first); p < n; ++p) table(g).pages[p] = share(g, p);
  }
  if (plan().has_states()) states_.push_back({.n_token = n_token});
  return n_token;
}

void SequenceCache::publish(int64_t page, const PageKey& key) {
  const int64_t end = (page + 1) * plan().page_tokens, state = find_state(end);
  for (int g = 0; g < n_group(); ++g) {
    if (plan().group(g).is_state()) {
      const auto at = static_cast<size_t>(state);
      if (state >= 0 && states_[at].snapshot) pool(g).publish(table(g).pages[at], key);
    } else if (page >= table(g).held.first && page < table(g).held.last) {
      pool(g).publish(table(g).pages[static_cast<size_t>(page)], key);
    }
  }
}

}  // namespace sw
