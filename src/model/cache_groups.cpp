// SPDX-License-Identifier: MIT
#include "model/cache_groups.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "base/error.h"

namespace sw {
namespace {

CacheGroup group_of_kind(const LayerKind& layer, const HParams& h) {
  const CacheKind kind = layer.cache;
  switch (kind) {
    case CacheKind::Pages:
      return {.kind = kind, .n_head_kv = h.attention.n_head_kv, .head_dim = h.attention.head_dim};
    case CacheKind::Window:
      return {.kind = kind,
              .n_head_kv = h.attention.n_head_kv,
              .head_dim = h.attention.head_dim,
              .window = h.attention.window};
    case CacheKind::Latent:
      return {.kind = kind, .n_head_kv = 1, .head_dim = h.mla.kv_rank + h.rope.n_rot};
    case CacheKind::State:
      return {.kind = kind, .state_floats = layer.state_floats(h)};
  }
  return {};
}

bool same_shape(const CacheGroup& a, const CacheGroup& b) {
  return a.kind == b.kind && a.n_head_kv == b.n_head_kv && a.head_dim == b.head_dim && a.window == b.window &&
         a.state_floats == b.state_floats;
}

/// Refuses a type in which a group's rows cannot be kept.
void check_rows(const CachePlan& plan) {
  for (const CacheGroup& group : plan.groups) {
    if (group.is_state()) continue;
    const auto check = [&](Type type, const char* what, const char* flag) {
      if (can_cache(type, group.head_dim)) return;
      const int n_block_elems = traits(type).block_elems;
      const bool known = can_cache(type, n_block_elems);
      throw Error(
          {.what = fmt::format("the KV cache cannot keep the model's {} in {}", what, cache_type_name(type)),
           .where = flag,
           .expected = known ? fmt::format("rows of a multiple of {}", n_block_elems) : "",
           .got = known ? fmt::format("rows of {}", group.head_dim) : "",
           .hint = "these can: " + types_that_cache(group.head_dim)});
    };
    check(plan.type.k, group.has_values() ? "keys" : "latents", "-ctk");
    if (group.has_values()) check(plan.type.v, "values", "-ctv");
  }
}

}  // namespace

std::vector<CacheGroup> cache_groups(const ArchSpec& arch, const HParams& hparams) {
  std::vector<CacheGroup> groups;
  for (int block = 0; block < hparams.n_run_block(); ++block) {
    const CacheGroup group = group_of_kind(block_kind(arch, hparams, block), hparams);
    auto at = std::ranges::find_if(groups, [&](const CacheGroup& g) { return same_shape(g, group); });
    if (at == groups.end()) at = groups.insert(at, group);
    at->blocks.push_back(block);
  }
  return groups;
}

CachePlan plan_cache(std::vector<CacheGroup> groups, const CacheSizes& sizes) {
  CachePlan plan{
      .groups = std::move(groups), .type = sizes.type, .n_seq = sizes.n_seq, .n_ahead = sizes.n_ubatch};
  if (!plan.has_values()) plan.type.v = plan.type.k;
  check_rows(plan);
  // A page belongs to one sequence.
  plan.n_token = sizes.n_seq * plan.pages_for(sizes.n_token) * plan.page_tokens;
  return plan;
}

}  // namespace sw
