// SPDX-License-Identifier: MIT
#include "kv/cache_plan.h"

#include <algorithm>

#include "base/error.h"

namespace sw {

int CachePlan::group_of(int block) const {
  for (int g = 0; g < n_group(); ++g) {
    if (std::binary_search(group(g).blocks.begin(), group(g).blocks.end(), block)) return g;
  }
  return -1;
}

int CachePlan::n_block() const {
  int n = 0;
  for (const CacheGroup& g : groups) n = std::max(n, g.blocks.empty() ? 0 : g.blocks.back() + 1);
  return n;
}

bool CachePlan::has_states() const {
  return std::any_of(groups.begin(), groups.end(), [](const CacheGroup& g) { return g.is_state(); });
}

bool CachePlan::has_values() const {
  return std::any_of(groups.begin(), groups.end(), [](const CacheGroup& g) { return g.has_values(); });
}

int64_t CachePlan::n_page(int g) const {
  switch (group(g).kind) {
    case CacheKind::Pages:
    case CacheKind::Latent:
      return pages_for(n_token);
    case CacheKind::Window: {
      // The window before the first token of a pass and the pass itself, wherever in a page they begin.
      const int64_t whole = pages_for(max_token > 0 ? max_token : n_token / n_seq);
      return n_seq * (n_ahead > 0 ? std::min(whole, pages_for(group(g).window - 1 + n_ahead) + 1) : whole);
    }
    // The text's state, and that after the pass or, in a check of drafts, after each place where the text
    // may end; while drafts are made, the one before and the one after a draft.
    case CacheKind::State:
      return n_seq * (2 + n_draft) + n_snapshot;
  }
  SW_ASSERT(false);
  return 0;
}

int64_t CachePlan::first_seen_page(int g, int64_t token) const {
  if (group(g).kind != CacheKind::Window) return 0;
  return std::max<int64_t>(0, token - group(g).window + 1) / page_tokens;
}

size_t CachePlan::part_bytes(int g, size_t part) const {
  constexpr int64_t kLine = 16;  // floats of a cache line, where each state begins
  const CacheGroup& it = group(g);
  if (it.is_state()) {
    return static_cast<size_t>((it.state_floats + kLine - 1) / kLine * kLine) * sizeof(float);
  }
  const Type rows = part == 0 ? type.k : type.v;
  return static_cast<size_t>(it.n_head_kv) * static_cast<size_t>(page_tokens) * row_bytes(rows, it.head_dim);
}

size_t CachePlan::page_bytes(int g) const {
  size_t n = 0;
  for (size_t part = 0; part < group(g).n_part(); ++part) n += part_bytes(g, part);
  return n;
}

size_t CachePlan::group_page_bytes(int g) const { return group(g).blocks.size() * page_bytes(g); }

size_t CachePlan::block_bytes(int block) const {
  const int g = group_of(block);
  if (g < 0) return 0;
  return page_bytes(g) * static_cast<size_t>(n_page(g));
}

size_t CachePlan::size_bytes() const {
  size_t all = 0;
  for (int b = 0; b < n_block(); ++b) all += block_bytes(b);
  return all;
}

}  // namespace sw
