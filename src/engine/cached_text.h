// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/page_names.h"
#include "model/page_copy.h"

namespace sw {

/// A text and how its tokens were routed.
struct RoutedText {
  std::vector<int32_t> tokens = {};
  int64_t n_prompt = 0;  ///< the first tokens, routed as a prompt; the others were generated
  RoutingPolicy routing = {};
};

/// What an engine's cache has of a text, for whoever copies it out or in: see Engine::cached(). It holds no
/// page, so that no request has to wait for one: what nobody uses may be gone with the next step. Between two
/// steps, on the engine's thread.
class CachedText {
 public:
  /// Borrows the cache and the devices.
  CachedText(PageNames names, Cache& cache, const PlacedModel& placed)
      : names_(std::move(names)), cache_(cache), copy_(placed, cache) {}

  const CachePlan& plan() const { return cache_.plan(); }
  /// Whole pages of the text, in the cache or not.
  int64_t n_page() const { return std::ssize(names_.all()); }
  /// The first pages of it that all groups have which keep every token.
  int64_t n_whole() const { return static_cast<int64_t>(cache_.n_whole_pages(names_.all())); }
  /// Tokens that a request which goes on behind the text would find in the cache.
  int64_t n_reusable_token() const {
    return static_cast<int64_t>(cache_.n_reusable_pages(names_.all())) * plan().page_tokens;
  }
  /// Where, within the first `n` pages, all groups have what the next token needs if those that keep every
  /// token have the pages: in pages.
  int64_t last_point(int64_t n) const;

  bool has(int g, int64_t page) const { return cache_.find_page(g, name(page)) >= 0; }
  /// Idle pages of a group: so many can be added.
  int64_t n_idle(int g) const { return cache_.n_free_pages(g); }
  /// Copies a page of a group, [plan().group_page_bytes(g)]. False where it is not there. `to` is complete
  /// after wait().
  bool read(int g, int64_t page, std::span<std::byte> to) const;
  void wait() const { copy_.wait(); }
  /// The other way, where the cache lacks the page; false where no page is idle. `check` is called before
  /// anybody can find the page, and may throw.
  template <class Check>
  bool add(int g, int64_t page, std::span<const std::byte> from, Check&& check) {
    return cache_.add_page(g, name(page), [&](int32_t to) {
      copy_.in(g, to, from);
      copy_.wait();
      check();
    });
  }
  /// The text was used just now; its beginning is kept longest.
  void touch();
  /// No request shall go on from it.
  void forget() { cache_.drop_names(names_.all()); }

 private:
  const PageKey& name(int64_t page) const { return names_.all()[static_cast<size_t>(page)]; }

  PageNames names_;
  Cache& cache_;
  PageCopy copy_;
};

}  // namespace sw
