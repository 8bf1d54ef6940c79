// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <vector>

#include "arch/spec.h"
#include "kv/cache_plan.h"

namespace sw {

/// The groups of a model's cache: blocks that keep the same of the tokens before, in the same shape. In the
/// order of their first blocks.
std::vector<CacheGroup> cache_groups(const ArchSpec& arch, const HParams& hparams);

/// How many tokens a cache holds, and for whom.
struct CacheSizes {
  int64_t n_token = 0;  ///< of one sequence
  CacheType type = {};
  int64_t n_seq = 1;
  int64_t n_ubatch = 0;  ///< most tokens of one pass; 0: any number
};
/// Values have the type of keys where no block keeps any. Throws sw::Error where a type cannot hold the rows.
CachePlan plan_cache(std::vector<CacheGroup> groups, const CacheSizes& sizes);

}  // namespace sw
