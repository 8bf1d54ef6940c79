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
  int64_t n_free_pages(int g = 0) const { return pools_[static_cast<size_t>(g)].n_idle(); }

 private:
  friend class SequenceCache;
  CachePlan plan_;
  std::vector<Buffer> blocks_;
  std::vector<PagePool> pools_;  // by group
};

}  // namespace sw
