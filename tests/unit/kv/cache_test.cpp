// SPDX-License-Identifier: MIT
#include "kv/cache.h"

#include <gtest/gtest.h>
#include <set>

namespace sw {
namespace {

std::vector<int> blocks(int n) {
  std::vector<int> all;
  for (int b = 0; b < n; ++b) all.push_back(b);
  return all;
}

TEST(Cache, SizesAreExact) {
  const CachePlan plan{
      .groups = {{.n_head_kv = 2, .head_dim = 8, .blocks = blocks(3)}}, .page_tokens = 16, .n_token = 100};
  EXPECT_EQ(plan.n_page(0), 7);  // 100 tokens in pages of 16
  EXPECT_EQ(plan.size_bytes(), size_t{2 * 3 * 7 * 16 * 2 * 8 * 2});
  // Ling-1T with 4096 tokens: 80 layers x 8 heads x 128, 2 bytes, keys and values (S4.62 at f16).
  const CachePlan ling{.groups = {{.n_head_kv = 8, .head_dim = 128, .blocks = blocks(80)}}, .n_token = 4096};
  EXPECT_EQ(ling.size_bytes(), size_t{1280} << 20);
}

TEST(Cache, LatentsHaveNoValues) {
  // DeepSeek-V3 with 4096 tokens: 61 layers x (512 + 64) x 2 bytes.
  CachePlan plan{
      .groups = {{.kind = CacheKind::Latent, .n_head_kv = 1, .head_dim = 576, .blocks = blocks(61)}},
      .n_token = 4096};
  EXPECT_EQ(plan.size_bytes(), size_t{61} * 576 * 2 * 4096);
  plan.n_token = 100;
  const Cache cache(plan);
  EXPECT_EQ(cache.layer(3).v, nullptr);
  EXPECT_EQ(cache.layer(3).page_stride_bytes, size_t{64} * 576 * 2);
}

/// Two sequences of at most 100 tokens, passes of 8 tokens with 3 drafts at most, pages of 16.
CachePlan mixed_plan() {
  return {.groups = {{.n_head_kv = 2, .head_dim = 8, .blocks = {0, 4}},
                     {.kind = CacheKind::Window, .n_head_kv = 1, .head_dim = 24, .window = 20, .blocks = {1}},
                     {.kind = CacheKind::State, .state_floats = 70, .blocks = {2, 3}}},
          .page_tokens = 16,
          .n_token = 2 * 7 * 16,
          .n_seq = 2,
          .n_ahead = 8,
          .n_draft = 3,
          .n_snapshot = 4};
}

TEST(Cache, EachGroupHasItsShapeAndItsPages) {
  const CachePlan plan = mixed_plan();
  EXPECT_EQ(plan.n_block(), 5);
  EXPECT_TRUE(plan.has_states());
  const int expected[] = {0, 1, 2, 2, 0, -1};
  for (int b = 0; b < 6; ++b) EXPECT_EQ(plan.group_of(b), expected[b]) << b;
  EXPECT_EQ(plan.n_page(0), 14);
  EXPECT_EQ(plan.n_page(1), 6) << "19 before, 8 in a pass: two pages, and one where they begin inside";
  EXPECT_EQ(plan.n_page(2), 14) << "for each the text's and four of a check, and four snapshots";
  EXPECT_EQ(plan.block_bytes(0), size_t{2 * 14 * 16 * 2 * 8 * 2});
  EXPECT_EQ(plan.block_bytes(1), size_t{2 * 6 * 16 * 1 * 24 * 2});
  EXPECT_EQ(plan.block_bytes(2), size_t{14 * 80 * 4}) << "70 floats begin on a cache line";
  EXPECT_EQ(plan.block_bytes(5), 0u);
  EXPECT_EQ(plan.size_bytes(), 2 * plan.block_bytes(0) + plan.block_bytes(1) + 2 * plan.block_bytes(2));
}

TEST(Cache, WindowsNeedNoMoreThanTheWholeText) {
  CachePlan plan = mixed_plan();
  plan.n_ahead = 0;
  EXPECT_EQ(plan.n_page(1), 14) << "passes of any length";
  plan.n_ahead = 200;
  EXPECT_EQ(plan.n_page(1), 14);
  plan.max_token = 40;
  EXPECT_EQ(plan.n_page(1), 6);
}

TEST(Cache, BlocksPagesAndHeadsDoNotOverlap) {
  const CachePlan plan = mixed_plan();
  const Cache cache(plan);
  std::set<std::pair<const std::byte*, size_t>> pieces;  // begin, size
  size_t n = 0;
  for (int b = 0; b < plan.n_block(); ++b) {
    const int g = plan.group_of(b);
    for (int64_t page = 0; page < plan.n_page(g); ++page) {
      if (plan.group(g).is_state()) {
        const StateView view = cache.state(b);
        pieces.emplace(reinterpret_cast<const std::byte*>(view.data + page * view.stride_floats), 70 * 4);
        ++n;
        continue;
      }
      const KvLayerView view = cache.layer(b);
      EXPECT_EQ(view.page_tokens, 16);
      for (const std::byte* base : {view.k, view.v}) {
        for (int head = 0; head < plan.group(g).n_head_kv; ++head, ++n) {
          pieces.emplace(base + static_cast<size_t>(page) * view.page_stride_bytes +
                             static_cast<size_t>(head) * view.head_stride_bytes,
                         static_cast<size_t>(16 * plan.group(g).head_dim * 2));
        }
      }
    }
  }
  EXPECT_EQ(pieces.size(), n);
  const std::byte* end = nullptr;
  for (const auto& [begin, size] : pieces) {
    EXPECT_TRUE(!end || begin >= end);
    end = begin + size;
  }
}

}  // namespace
}  // namespace sw
