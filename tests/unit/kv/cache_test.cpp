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
  CachePlan ling{.groups = {{.n_head_kv = 8, .head_dim = 128, .blocks = blocks(80)}}, .n_token = 4096};
  EXPECT_EQ(ling.size_bytes(), size_t{1280} << 20);
  // S4.62 as it stands: layers x 8 x 128 x 34 / 32 bytes, twice, for each token.
  ling.type = Type::Q8_0;
  EXPECT_EQ(ling.size_bytes(), size_t{80} * 8 * 128 * 34 / 32 * 2 * 4096);
  EXPECT_EQ(ling.size_bytes(), size_t{680} << 20);
  EXPECT_EQ(ling.part_bytes(0, 0) * 64 * 80, size_t{340} << 20);
  EXPECT_EQ(ling.part_bytes(0, 1) * 64 * 80, size_t{340} << 20);
  ling.n_token = 65536;
  EXPECT_EQ(ling.size_bytes(), size_t{10880} << 20);
}

TEST(Cache, EveryTypeHasItsSize) {
  // Bytes of 32 elements, from the formats' definitions.
  const std::pair<Type, size_t> bytes[] = {{Type::F32, 128},  {Type::F16, 64},  {Type::BF16, 64},
                                           {Type::Q8_0, 34},  {Type::Q5_1, 24}, {Type::Q4_0, 18},
                                           {Type::IQ4_NL, 18}};
  EXPECT_EQ(std::size(bytes), std::size(kCacheTypes));
  for (const auto& [k, k_bytes] : bytes) {
    for (const auto& [v, v_bytes] : bytes) {
      const CachePlan plan{
          .groups = {{.n_head_kv = 3, .head_dim = 96, .blocks = blocks(5)}}, .type = {k, v}, .n_token = 1000};
      EXPECT_EQ(plan.size_bytes(), 5 * 3 * 3 * (k_bytes + v_bytes) * 1024) << type_name(k) << type_name(v);
      EXPECT_EQ(plan.group_page_bytes(0), 5 * 3 * 3 * (k_bytes + v_bytes) * 64);
    }
  }
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
  plan.n_token = 4096;
  plan.type = {Type::Q8_0, Type::F32};
  EXPECT_EQ(plan.size_bytes(), size_t{61} * 576 * 34 / 32 * 4096) << "the type of values is of no account";
}

TEST(CacheType, RowsMustBeWholeBlocks) {
  EXPECT_EQ(types_that_cache(128), "f32, f16, bf16, q8_0, q5_1, q4_0, iq4_nl");
  EXPECT_EQ(types_that_cache(32), types_that_cache(128));
  EXPECT_EQ(types_that_cache(80), "f32, f16, bf16");
  EXPECT_FALSE(can_cache(Type::Q8_0, 40));
  EXPECT_FALSE(can_cache(Type::Q4_K, 256)) << "not one of a cache";
  EXPECT_TRUE(can_cache(Type::BF16, 1));
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

/// Every head of every page, and every state, are apart; the parts that pages are copied by are the same
/// bytes.
void expect_apart(const CachePlan& plan) {
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
      for (const KvPart& part : {cache.layer(b).keys(), cache.layer(b).values()}) {
        EXPECT_EQ(part.page_tokens, 16);
        for (int head = 0; head < plan.group(g).n_head_kv; ++head, ++n) {
          pieces.emplace(part.data + static_cast<size_t>(page) * part.page_stride_bytes +
                             static_cast<size_t>(head) * part.head_stride_bytes,
                         16 * row_bytes(part.type, plan.group(g).head_dim));
        }
      }
    }
  }
  std::set<std::pair<const std::byte*, size_t>> parts;
  size_t all_bytes = 0;
  for (int g = 0; g < plan.n_group(); ++g) {
    for (int32_t page = 0; page < plan.n_page(g); ++page) {
      size_t page_bytes = 0;
      cache.for_each_part(g, page, [&](int, std::span<const std::byte> part) {
        parts.emplace(part.data(), part.size());
        page_bytes += part.size();
      });
      EXPECT_EQ(page_bytes, plan.group_page_bytes(g));
      all_bytes += page_bytes;
    }
  }
  EXPECT_EQ(all_bytes, plan.size_bytes());
  for (const auto& [begin, size] : pieces) {
    const auto behind = parts.upper_bound({begin, SIZE_MAX});
    ASSERT_NE(behind, parts.begin());
    const auto& [from, n_bytes] = *std::prev(behind);
    EXPECT_LE(begin + size, from + n_bytes) << "a head lies in one part";
  }
  EXPECT_EQ(pieces.size(), n);
  const std::byte* end = nullptr;
  for (const auto& [begin, size] : pieces) {
    EXPECT_TRUE(!end || begin >= end);
    end = begin + size;
  }
}

TEST(Cache, BlocksPagesAndHeadsDoNotOverlap) {
  CachePlan plan = mixed_plan();
  expect_apart(plan);
  plan.groups[0].head_dim = 64;
  plan.groups[1].head_dim = 96;
  for (const Type k : kCacheTypes) {
    for (const Type v : kCacheTypes) {
      plan.type = {k, v};
      expect_apart(plan);
    }
  }
}

}  // namespace
}  // namespace sw
