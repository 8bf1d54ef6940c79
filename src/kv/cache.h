// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kv/cache_plan.h"
#include "kv/layer_view.h"
#include "kv/page_pool.h"
#include "tensor/buffer.h"

namespace sw {

/// The memory of a cache, block by block, and the pools of its pages, group by group; see kv/cache_plan.h.
/// All memory is taken at the start.
class Cache {
 public:
  /// `memory` [plan.n_block() or more]: where each block's pages are; empty: the CPU's.
  explicit Cache(CachePlan plan, std::span<DeviceMemory* const> memory = {});

  const CachePlan& plan() const { return plan_; }
  /// Where its memory begins: tells it from other caches.
  const std::byte* memory() const { return blocks_.front().data(); }
  /// Of a block whose group keeps keys.
  KvLayerView layer(int block) const;
  /// Of a block whose group keeps states.
  StateView state(int block) const;
  /// Pages of a group that no sequence uses, whether or not something stands in them that may be used again.
  int64_t n_free_pages(int g = 0) const { return pool(g).n_idle(); }

  /// How many of these pages, from the first on, are there in all groups that keep every token.
  size_t n_whole_pages(std::span<const PageKey> keys) const;
  /// Whether the other groups have what the token behind these pages needs: its window, the state before it.
  bool can_go_on_after(std::span<const PageKey> keys) const;
  /// The longest prefix of these pages after which every group has what the next token needs.
  size_t n_reusable_pages(std::span<const PageKey> keys) const;
  /// The page of that name, or -1.
  int32_t find_page(int g, const PageKey& key) const { return pool(g).find(key); }
  /// Takes these names away from whatever pages have them: nobody shall go on from what stands there.
  void drop_names(std::span<const PageKey> keys);
  /// The page of that name, if there is one, counts as used just now: others are taken before it.
  void touch(int g, const PageKey& key);
  /// Names an idle page, which `fill(page)` fills first; where that throws, the page stays without a name.
  /// Nothing to do where the name is there. False where no page is idle.
  template <class Fill>
  bool add_page(int g, const PageKey& key, Fill&& fill) {
    if (find_page(g, key) >= 0) return true;
    if (pool(g).n_idle() == 0) return false;
    const Taken taken{pool(g), pool(g).take()};
    fill(taken.page);
    pool(g).publish(taken.page, key);
    return true;
  }
  /// Calls `visit(block, bytes)` for each stretch of memory that a page of a group has: block by block its
  /// keys and then its values, or its state.
  template <class Visit>
  void for_each_part(int g, int32_t page, Visit&& visit) const {
    const CacheGroup& group = plan_.group(g);
    const auto n_page = static_cast<size_t>(plan_.n_page(g));
    for (const int block : group.blocks) {
      std::byte* data = blocks_[static_cast<size_t>(block)].data();
      for (size_t part = 0; part < group.n_part(); ++part) {
        const size_t n = plan_.part_bytes(g, part);
        visit(block, std::span(data + static_cast<size_t>(page) * n, n));
        data += n_page * n;
      }
    }
  }

 private:
  friend class SequenceCache;
  /// A page with a user for as long as this lives.
  struct Taken {
    PagePool& pool;
    int32_t page;
    ~Taken() { pool.release(page); }
  };
  const PagePool& pool(int g) const { return pools_[static_cast<size_t>(g)]; }
  PagePool& pool(int g) { return pools_[static_cast<size_t>(g)]; }

  CachePlan plan_;
  std::vector<Buffer> blocks_;
  std::vector<PagePool> pools_;  // by group
};

}  // namespace sw
