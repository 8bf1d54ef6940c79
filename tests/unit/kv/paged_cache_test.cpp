// SPDX-License-Identifier: MIT
#include "kv/paged_cache.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace sw {
namespace {

const CacheSpec kSpec{
    .n_layer = 3, .n_head_kv = 2, .head_dim = 8, .type = Type::F16, .n_token = 100, .page_tokens = 16};

TEST(PagedCache, SizesAreExact) {
  EXPECT_EQ(kSpec.n_page(), 7);  // 100 tokens in pages of 16
  EXPECT_EQ(kSpec.size_bytes(), size_t{2 * 3 * 7 * 16 * 2 * 8 * 2});
  // Ling-1T with 4096 tokens: 80 layers x 8 heads x 128, 2 bytes, keys and values (S4.62 at f16).
  const CacheSpec ling{.n_layer = 80, .n_head_kv = 8, .head_dim = 128, .type = Type::F16, .n_token = 4096};
  EXPECT_EQ(ling.size_bytes(), size_t{1280} << 20);
}

TEST(PagedCache, LatentsHaveNoValues) {
  // DeepSeek-V3 with 4096 tokens: 61 layers x (512 + 64) x 2 bytes.
  const CacheSpec spec{.n_layer = 61,
                       .n_head_kv = 1,
                       .head_dim = 576,
                       .has_values = false,
                       .type = Type::F16,
                       .n_token = 4096};
  EXPECT_EQ(spec.size_bytes(), size_t{61} * 576 * 2 * 4096);
  CacheSpec small = spec;
  small.n_token = 100;
  const PagedCache cache(small);
  EXPECT_EQ(cache.layer(3).v, nullptr);
  EXPECT_EQ(cache.layer(3).page_stride_bytes, size_t{64} * 576 * 2);
}

TEST(PagedCache, LayersAndPagesDoNotOverlap) {
  PagedCache cache(kSpec);
  std::set<const std::byte*> starts;
  size_t n = 0;
  for (int l = 0; l < kSpec.n_layer; ++l) {
    const KvLayerView view = cache.layer(l);
    for (const std::byte* base : {view.k, view.v}) {
      for (int64_t page = 0; page < kSpec.n_page(); ++page) {
        for (int head = 0; head < kSpec.n_head_kv; ++head, ++n) {
          starts.insert(base + static_cast<size_t>(page) * view.page_stride_bytes +
                        static_cast<size_t>(head) * view.head_stride_bytes);
        }
      }
    }
  }
  EXPECT_EQ(starts.size(), n);
  const std::byte* previous = nullptr;
  for (const std::byte* start : starts) {
    EXPECT_TRUE(!previous || start - previous >= 16 * 8 * 2);
    previous = start;
  }
}

TEST(BlockTable, TakesAndGivesBackPages) {
  PagedCache cache(kSpec);
  BlockTable a(cache, 64);
  EXPECT_TRUE(a.resize(17));
  EXPECT_EQ(cache.n_free_pages(), 5);
  EXPECT_TRUE(a.resize(32)) << "still two pages";
  EXPECT_EQ(cache.n_free_pages(), 5);
  EXPECT_FALSE(a.resize(65)) << "more than the table may hold";
  EXPECT_EQ(cache.n_free_pages(), 5);
  {
    BlockTable b(cache, 100);
    EXPECT_FALSE(b.resize(96)) << "six pages are not left";
    EXPECT_EQ(cache.n_free_pages(), 5);
    EXPECT_TRUE(b.resize(80));
    EXPECT_EQ(cache.n_free_pages(), 0);
    std::set<int32_t> pages(a.pages(), a.pages() + 2);
    pages.insert(b.pages(), b.pages() + 5);
    EXPECT_EQ(pages.size(), 7u) << "no page belongs to two sequences";
  }
  EXPECT_EQ(cache.n_free_pages(), 5);
  EXPECT_TRUE(a.resize(0));
  EXPECT_EQ(cache.n_free_pages(), 7);
}

/// Two sequences of at most 100 tokens, passes of 8 tokens, layer 1 sees 20 tokens, pages of 16.
CacheSpec windowed_spec() {
  CacheSpec spec = kSpec;
  spec.n_token = 2 * 7 * 16;  // a page belongs to one sequence
  spec.window = 20;
  spec.windowed = {0, 1, 0};
  spec.n_seq = 2;
  spec.n_ahead = 8;
  return spec;
}

TEST(PagedCache, LayersWithAWindowTakeLessMemory) {
  const CacheSpec spec = windowed_spec();
  EXPECT_EQ(spec.n_page(kFullGroup), 14);
  EXPECT_EQ(spec.n_page(kWindowGroup), 6)
      << "19 before, 8 in a pass: two pages, and one where they begin inside";
  EXPECT_EQ(spec.layer_bytes(1) * 14, spec.layer_bytes(0) * 6);
  EXPECT_EQ(spec.size_bytes(), spec.layer_bytes(0) + spec.layer_bytes(1) + spec.layer_bytes(2));
}

TEST(BlockTable, GivesBackWhatNoTokenSees) {
  PagedCache cache(windowed_spec());
  BlockTable a(cache, 100), b(cache, 100);
  ASSERT_TRUE(a.resize(100) && b.resize(100));
  for (int64_t begin = 0; begin < 100; begin += 8) {
    for (BlockTable* table : {&a, &b}) {
      table->slide(begin, std::min<int64_t>(begin + 8, 100));
      std::set<int32_t> held;
      for (int64_t p = 0; p < 7; ++p) {
        const bool wanted = p * 16 + 15 >= begin - 19 && p * 16 < begin + 8;
        const int32_t page = table->pages(kWindowGroup)[p];
        EXPECT_EQ(page >= 0, wanted) << begin << ", page " << p;
        if (page >= 0) held.insert(page);
      }
      EXPECT_LE(held.size(), 3u);
    }
  }
  a.resize(0);
  b.resize(0);
  EXPECT_EQ(cache.n_free_pages(kWindowGroup), 6);
}

std::vector<PageKey> names(int n, uint64_t text) {
  std::vector<PageKey> keys(static_cast<size_t>(n));
  PageKey key;
  for (PageKey& k : keys) {
    key.add(text);
    k = key;
  }
  return keys;
}

TEST(BlockTable, SharesWholePagesByName) {
  PagedCache cache(kSpec);  // 7 pages of 16 tokens
  const std::vector<PageKey> keys = names(3, 1);
  BlockTable a(cache, 100), b(cache, 100);
  ASSERT_TRUE(a.resize(50));
  for (int p = 0; p < 2; ++p) a.publish(p, keys[static_cast<size_t>(p)]);
  EXPECT_EQ(b.adopt(names(3, 2)), 0) << "another text";
  EXPECT_EQ(b.adopt(keys), 32) << "the third was not published";
  EXPECT_EQ(cache.n_free_pages(), 3) << "shared pages are there once";
  EXPECT_EQ(std::vector(b.pages(), b.pages() + 2), std::vector(a.pages(), a.pages() + 2));
  ASSERT_TRUE(b.resize(40));
  EXPECT_NE(b.pages()[2], a.pages()[2]) << "what follows is its own";
  a.resize(0);
  EXPECT_EQ(cache.n_free_pages(), 4) << "b still reads two";
  b.resize(0);
  EXPECT_EQ(cache.n_free_pages(), 7);
  EXPECT_EQ(a.adopt(keys), 32) << "nobody took the pages";
  EXPECT_EQ(cache.n_free_pages(), 5);
  a.forget();
  EXPECT_EQ(b.adopt(keys), 0);
}

TEST(BlockTable, TakesPagesWithoutANameFirstThenTheEndOfTheOldestText) {
  PagedCache cache(kSpec);
  const std::vector<PageKey> old = names(2, 1), young = names(2, 2);
  for (const auto* keys : {&old, &young}) {
    BlockTable table(cache, 100);
    ASSERT_TRUE(table.resize(32));
    for (size_t p = 0; p < 2; ++p) table.publish(static_cast<int64_t>(p), (*keys)[p]);
  }
  BlockTable taker(cache, 100), reader(cache, 100);
  const auto found = [&](const std::vector<PageKey>& keys) {
    BlockTable table(cache, 100);
    return table.adopt(keys);
  };
  ASSERT_TRUE(taker.resize(3 * 16));
  EXPECT_EQ(reader.adopt(old), 32) << "three pages had no name";
  reader.resize(0);  // now the other is the oldest
  ASSERT_TRUE(taker.resize(4 * 16));
  EXPECT_EQ(found(young), 16);
  EXPECT_EQ(found(old), 32);
  ASSERT_TRUE(taker.resize(5 * 16));
  EXPECT_EQ(found(young), 0);
  ASSERT_TRUE(taker.resize(6 * 16));
  EXPECT_EQ(found(old), 16);
}

TEST(BlockTable, GoesOnOnlyWhereTheWindowIsStillThere) {
  PagedCache cache(windowed_spec());  // two sequences; 19 tokens before a token are seen: two pages
  const std::vector<PageKey> keys = names(6, 1);
  BlockTable a(cache, 100), b(cache, 100);
  ASSERT_TRUE(a.resize(100));
  const auto run = [&](BlockTable& table, int64_t begin, int64_t end) {
    for (; begin < end; begin += 8) {
      table.slide(begin, begin + 8);
      if (begin % 16 == 8 && &table == &a) a.publish(begin / 16, keys[static_cast<size_t>(begin / 16)]);
    }
  };
  run(a, 0, 96);
  EXPECT_EQ(b.adopt(std::span(keys).first(3)), 48) << "given back, but nobody took the pages";
  EXPECT_EQ(b.pages(kWindowGroup)[0], -1);
  EXPECT_GE(b.pages(kWindowGroup)[1], 0);
  EXPECT_GE(b.pages(kWindowGroup)[2], 0);
  b.resize(0);
  ASSERT_TRUE(b.resize(40));
  run(b, 0, 40);  // takes the pages that nobody used
  b.resize(0);
  EXPECT_EQ(b.adopt(std::span(keys).first(2)), 0) << "its window is gone";
  EXPECT_EQ(b.adopt(keys), 96) << "the window of the end is still a's";
}

TEST(PagePool, RandomUseKeepsItsPromises) {
  constexpr int kPages = 9, kTexts = 30;
  PagePool pool(kPages);
  Rng rng(7);
  std::vector<int32_t> held;             // a page once for each user
  std::map<int32_t, uint64_t> standing;  // what was published, until the page is taken again
  const auto key_of = [](uint64_t text) { return names(1, text)[0]; };
  for (int i = 0; i < 20000; ++i) {
    if (const int32_t found = pool.find(key_of(rng.below(kTexts))); found >= 0 && rng.below(3) == 0) {
      pool.share(found);
      held.push_back(found);
    } else if (pool.n_idle() > 0 && rng.below(2) == 0) {
      const int32_t page = pool.take();
      EXPECT_EQ(std::count(held.begin(), held.end(), page), 0) << "a page with users is not taken";
      standing.erase(page);
      held.push_back(page);
      const uint64_t text = rng.below(kTexts);
      if (pool.find(key_of(text)) < 0) standing[page] = text;
      if (rng.below(4) != 0) {
        pool.publish(page, key_of(text));
      } else {
        standing.erase(page);
      }
    } else if (!held.empty()) {
      std::swap(held[rng.below(held.size())], held.back());
      pool.release(held.back());
      held.pop_back();
    }
    const std::set<int32_t> used(held.begin(), held.end());
    ASSERT_EQ(pool.n_idle(), kPages - std::ssize(used));
    for (const auto& [page, text] : standing) ASSERT_EQ(pool.find(key_of(text)), page) << i;
  }
}

TEST(BlockTable, MovesWithItsPages) {
  PagedCache cache(kSpec);
  {
    BlockTable a(cache, 64);
    ASSERT_TRUE(a.resize(20));
    const BlockTable b(std::move(a));
    EXPECT_EQ(cache.n_free_pages(), 5);
  }
  EXPECT_EQ(cache.n_free_pages(), 7) << "given back once";
}

}  // namespace
}  // namespace sw
