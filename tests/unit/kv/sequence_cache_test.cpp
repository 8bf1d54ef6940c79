// SPDX-License-Identifier: MIT
#include "kv/sequence_cache.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "unit/kv/page_names.h"

namespace sw {
namespace {

const CachePlan kPlan{
    .groups = {{.n_head_kv = 2, .head_dim = 8, .blocks = {0, 1, 2}}}, .page_tokens = 16, .n_token = 100};

TEST(SequenceCache, TakesAndGivesBackPages) {
  Cache cache(kPlan);
  SequenceCache a(cache, 64);
  EXPECT_TRUE(a.reserve(17));
  EXPECT_EQ(cache.n_free_pages(), 5);
  EXPECT_TRUE(a.reserve(32)) << "still two pages";
  EXPECT_EQ(cache.n_free_pages(), 5);
  EXPECT_FALSE(a.reserve(65)) << "more than the table may hold";
  EXPECT_EQ(cache.n_free_pages(), 5);
  {
    SequenceCache b(cache, 100);
    EXPECT_FALSE(b.reserve(96)) << "six pages are not left";
    EXPECT_EQ(cache.n_free_pages(), 5);
    EXPECT_TRUE(b.reserve(80));
    EXPECT_EQ(cache.n_free_pages(), 0);
    std::set<int32_t> pages(a.pages(0), a.pages(0) + 2);
    pages.insert(b.pages(0), b.pages(0) + 5);
    EXPECT_EQ(pages.size(), 7u) << "no page belongs to two sequences";
  }
  EXPECT_EQ(cache.n_free_pages(), 5);
  a.clear();
  EXPECT_EQ(cache.n_free_pages(), 7);
}

/// Two sequences of at most 100 tokens, passes of 8 tokens, block 1 sees 20 tokens, pages of 16.
CachePlan windowed_plan() {
  CachePlan plan = kPlan;
  plan.groups = {{.n_head_kv = 2, .head_dim = 8, .blocks = {0, 2}},
                 {.kind = CacheKind::Window, .n_head_kv = 2, .head_dim = 8, .window = 20, .blocks = {1}}};
  plan.n_token = 2 * 7 * 16;  // a page belongs to one sequence
  plan.n_seq = 2;
  plan.n_ahead = 8;
  return plan;
}

TEST(SequenceCache, GivesBackWhatNoTokenSees) {
  Cache cache(windowed_plan());
  SequenceCache a(cache, 100), b(cache, 100);
  ASSERT_TRUE(a.reserve(100) && b.reserve(100));
  for (int64_t begin = 0; begin < 100; begin += 8) {
    for (SequenceCache* table : {&a, &b}) {
      ASSERT_TRUE(table->prepare(begin, std::min<int64_t>(begin + 8, 100)));
      std::set<int32_t> held;
      for (int64_t p = 0; p < 7; ++p) {
        const bool wanted = p * 16 + 15 >= begin - 19 && p * 16 < begin + 8;
        const int32_t page = table->pages(1)[p];
        EXPECT_EQ(page >= 0, wanted) << begin << ", page " << p;
        if (page >= 0) held.insert(page);
      }
      EXPECT_LE(held.size(), 3u);
    }
  }
  a.clear();
  b.clear();
  EXPECT_EQ(cache.n_free_pages(1), 6);
}

TEST(SequenceCache, SharesWholePagesByName) {
  Cache cache(kPlan);  // 7 pages of 16 tokens
  const std::vector<PageKey> keys = names(3, 1);
  SequenceCache a(cache, 100), b(cache, 100);
  ASSERT_TRUE(a.reserve(50));
  for (int p = 0; p < 2; ++p) a.publish(p, keys[static_cast<size_t>(p)]);
  EXPECT_EQ(b.reuse_prefix(names(3, 2)), 0) << "another text";
  EXPECT_EQ(b.reuse_prefix(keys), 32) << "the third was not published";
  EXPECT_EQ(cache.n_free_pages(), 3) << "shared pages are there once";
  EXPECT_EQ(std::vector(b.pages(0), b.pages(0) + 2), std::vector(a.pages(0), a.pages(0) + 2));
  ASSERT_TRUE(b.reserve(40));
  EXPECT_NE(b.pages(0)[2], a.pages(0)[2]) << "what follows is its own";
  a.clear();
  EXPECT_EQ(cache.n_free_pages(), 4) << "b still reads two";
  b.clear();
  EXPECT_EQ(cache.n_free_pages(), 7);
  EXPECT_EQ(a.reuse_prefix(keys), 32) << "nobody took the pages";
  EXPECT_EQ(cache.n_free_pages(), 5);
  a.drop_names(keys);
  EXPECT_EQ(b.reuse_prefix(keys), 0);
}

TEST(SequenceCache, TakesPagesWithoutANameFirstThenTheEndOfTheOldestText) {
  Cache cache(kPlan);
  const std::vector<PageKey> old = names(2, 1), young = names(2, 2);
  for (const auto* keys : {&old, &young}) {
    SequenceCache table(cache, 100);
    ASSERT_TRUE(table.reserve(32));
    for (size_t p = 0; p < 2; ++p) table.publish(static_cast<int64_t>(p), (*keys)[p]);
  }
  SequenceCache taker(cache, 100), reader(cache, 100);
  const auto found = [&](const std::vector<PageKey>& keys) {
    SequenceCache table(cache, 100);
    return table.reuse_prefix(keys);
  };
  ASSERT_TRUE(taker.reserve(3 * 16));
  EXPECT_EQ(reader.reuse_prefix(old), 32) << "three pages had no name";
  reader.clear();  // now the other is the oldest
  ASSERT_TRUE(taker.reserve(4 * 16));
  EXPECT_EQ(found(young), 16);
  EXPECT_EQ(found(old), 32);
  ASSERT_TRUE(taker.reserve(5 * 16));
  EXPECT_EQ(found(young), 0);
  ASSERT_TRUE(taker.reserve(6 * 16));
  EXPECT_EQ(found(old), 16);
}

TEST(SequenceCache, GoesOnOnlyWhereTheWindowIsStillThere) {
  Cache cache(windowed_plan());  // two sequences; 19 tokens before a token are seen: two pages
  const std::vector<PageKey> keys = names(6, 1);
  SequenceCache a(cache, 100), b(cache, 100);
  ASSERT_TRUE(a.reserve(100));
  const auto run = [&](SequenceCache& table, int64_t begin, int64_t end) {
    for (; begin < end; begin += 8) {
      EXPECT_TRUE(table.prepare(begin, begin + 8));
      if (begin % 16 == 8 && &table == &a) a.publish(begin / 16, keys[static_cast<size_t>(begin / 16)]);
    }
  };
  run(a, 0, 96);
  EXPECT_EQ(b.reuse_prefix(std::span(keys).first(3)), 48) << "given back, but nobody took the pages";
  EXPECT_EQ(b.pages(1)[0], -1);
  EXPECT_GE(b.pages(1)[1], 0);
  EXPECT_GE(b.pages(1)[2], 0);
  b.clear();
  ASSERT_TRUE(b.reserve(40));
  run(b, 0, 40);  // takes the pages that nobody used
  b.clear();
  EXPECT_EQ(b.reuse_prefix(std::span(keys).first(2)), 0) << "its window is gone";
  EXPECT_EQ(b.reuse_prefix(keys), 96) << "the window of the end is still a's";
}

TEST(SequenceCache, MovesWithItsPages) {
  Cache cache(kPlan);
  {
    SequenceCache a(cache, 64);
    ASSERT_TRUE(a.reserve(20));
    const SequenceCache b(std::move(a));
    EXPECT_EQ(cache.n_free_pages(), 5);
  }
  EXPECT_EQ(cache.n_free_pages(), 7) << "given back once";
}

}  // namespace
}  // namespace sw
