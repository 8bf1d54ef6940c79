// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <set>

#include "kv/sequence_cache.h"
#include "unit/kv/page_names.h"

namespace sw {
namespace {

constexpr int kKeys = 0, kStates = 1, kOtherStates = 2;  // the groups

/// Two sequences of at most 96 tokens in pages of 16, checks of two drafts, two snapshots.
CachePlan plan() {
  return {.groups = {{.n_head_kv = 1, .head_dim = 8, .blocks = {0}},
                     {.kind = CacheKind::State, .state_floats = 5, .blocks = {1, 3}},
                     {.kind = CacheKind::State, .state_floats = 40, .blocks = {2}}},
          .page_tokens = 16,
          .n_token = 2 * 96,
          .n_seq = 2,
          .n_ahead = 48,
          .n_draft = 2,
          .n_snapshot = 2,
          .snapshot_tokens = 32};
}
constexpr int64_t kStatePages = 2 * (2 + 2) + 2;

/// Positions [begin, end) after which a state is stored.
std::set<int64_t> stored(const SequenceCache& cache, int64_t begin, int64_t end) {
  std::set<int64_t> all;
  for (int64_t pos = begin; pos < end; ++pos) {
    EXPECT_EQ(cache.state_to(kStates, pos) < 0, cache.state_to(kOtherStates, pos) < 0);
    if (cache.state_to(kStates, pos) >= 0) all.insert(pos);
  }
  return all;
}

TEST(StatePages, APassReadsOneAndWritesAnother) {
  Cache cache(plan());
  SequenceCache a(cache, 96);
  ASSERT_TRUE(a.prepare(0, 40));
  EXPECT_EQ(a.state_from(kStates), -1) << "a text begins with zeros";
  EXPECT_EQ(stored(a, 0, 40), std::set<int64_t>{39});
  EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 1);
  int32_t last = a.state_to(kStates, 39);
  for (int64_t pos = 40; pos < 60; ++pos) {
    ASSERT_TRUE(a.prepare(pos, pos + 1));
    EXPECT_EQ(a.state_from(kStates), last);
    EXPECT_NE(a.state_to(kStates, pos), last) << "a step that fails spoils nothing";
    EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 2);
    last = a.state_to(kStates, pos);
    a.settle(pos + 1);
    EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 1);
  }
  ASSERT_TRUE(a.prepare(60, 61));
  ASSERT_TRUE(a.prepare(60, 64)) << "the pass did not happen, another begins at the same place";
  EXPECT_EQ(a.state_from(kStates), last);
  EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 2);
  a.clear();
  for (const int g : {kStates, kOtherStates}) EXPECT_EQ(cache.n_free_pages(g), kStatePages);
  EXPECT_EQ(cache.n_free_pages(kKeys), 12);
}

TEST(StatePages, PrefixesEndAtSnapshots) {
  Cache cache(plan());
  const std::vector<PageKey> keys = names(5, 1);
  SequenceCache a(cache, 96), b(cache, 96);
  ASSERT_TRUE(a.prepare(0, 40));
  a.keep_snapshot(32);
  EXPECT_EQ(stored(a, 0, 40), (std::set<int64_t>{31, 39}));
  const int32_t snapshot = a.state_to(kStates, 31), other = a.state_to(kOtherStates, 31);
  for (int p = 0; p < 2; ++p) a.publish(p, keys[static_cast<size_t>(p)]);
  a.settle(40);
  EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 1);
  ASSERT_TRUE(a.prepare(40, 64));
  for (int p = 2; p < 4; ++p) a.publish(p, keys[static_cast<size_t>(p)]);
  a.settle(64);
  // Four pages of keys are there, and a state at the end of the fourth, but nobody asked to keep it.
  EXPECT_EQ(b.reuse_prefix(std::span(keys).first(1)), 0);
  EXPECT_EQ(b.reuse_prefix(keys), 32);
  ASSERT_TRUE(b.prepare(32, 35));
  EXPECT_EQ(b.state_from(kStates), snapshot);
  EXPECT_EQ(b.state_from(kOtherStates), other);
  EXPECT_NE(b.state_to(kStates, 34), snapshot) << "it is read only";
  b.settle(35);
  a.clear();
  b.clear();
  EXPECT_EQ(a.reuse_prefix(keys), 32) << "it stays, though nobody uses it";
  a.clear();
  a.drop_names(keys);
  EXPECT_EQ(a.reuse_prefix(keys), 0);
  for (const int g : {kStates, kOtherStates}) EXPECT_EQ(cache.n_free_pages(g), kStatePages);
}

TEST(StatePages, TheEndOfAPassCanBeASnapshot) {
  Cache cache(plan());
  const std::vector<PageKey> keys = names(3, 1);
  SequenceCache a(cache, 96), b(cache, 96);
  ASSERT_TRUE(a.prepare(0, 48));
  a.keep_snapshot(48);
  EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 1) << "it takes no page of its own";
  for (int p = 0; p < 3; ++p) a.publish(p, keys[static_cast<size_t>(p)]);
  a.settle(48);
  EXPECT_EQ(b.reuse_prefix(keys), 48);
  ASSERT_TRUE(a.prepare(48, 49) && b.prepare(48, 49));
  EXPECT_EQ(a.state_from(kStates), b.state_from(kStates));
  EXPECT_NE(a.state_to(kStates, 48), b.state_to(kStates, 48));
}

TEST(StatePages, OldSnapshotsGoFirst) {
  Cache cache(plan());
  const auto reuses = [&](uint64_t text) {
    SequenceCache c(cache, 96);
    return c.reuse_prefix(names(1, text));
  };
  for (uint64_t text = 1; text <= 3; ++text) {
    SequenceCache a(cache, 96);
    ASSERT_TRUE(a.prepare(0, 20));
    a.keep_snapshot(16);
    a.publish(0, names(1, text)[0]);
  }
  EXPECT_EQ(reuses(1), 16) << "and is now the one that was used last";
  // All pages but those of the snapshots, then one more.
  std::vector<SequenceCache> all;
  for (int64_t i = 0; i < kStatePages - 2; ++i) ASSERT_TRUE(all.emplace_back(cache, 16).prepare(0, 1));
  EXPECT_EQ(reuses(2), 0);
  EXPECT_EQ(reuses(3), 16);
  EXPECT_EQ(reuses(1), 16);
}

TEST(StatePages, DraftsGoBack) {
  Cache cache(plan());
  SequenceCache a(cache, 96);
  ASSERT_TRUE(a.prepare(0, 20));
  const int32_t text = a.state_to(kStates, 19);
  a.settle(20);
  // Token 20 is the text's last; two drafts are made behind it ...
  ASSERT_TRUE(a.prepare(20, 21));
  const int32_t first = a.state_to(kStates, 20);
  ASSERT_TRUE(a.prepare(21, 22, {.n_before = 1}));
  EXPECT_EQ(a.state_from(kStates), first);
  EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 3);
  // ... and checked with it, from the text's state.
  ASSERT_TRUE(a.prepare(20, 23, {.n_within = 2}));
  EXPECT_EQ(a.state_from(kStates), text);
  EXPECT_EQ(stored(a, 20, 23), (std::set<int64_t>{20, 21, 22}));
  EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 4);
  // One draft stays.
  const int32_t accepted = a.state_to(kStates, 21);
  a.settle(22);
  EXPECT_EQ(cache.n_free_pages(kStates), kStatePages - 1);
  ASSERT_TRUE(a.prepare(22, 23));
  EXPECT_EQ(a.state_from(kStates), accepted);
}

TEST(StatePages, APassWithoutRoomChangesNothing) {
  Cache cache(plan());
  SequenceCache a(cache, 96);
  ASSERT_TRUE(a.prepare(0, 16));
  const int32_t text = a.state_to(kStates, 15), keys = a.pages(kKeys)[0];
  std::vector<SequenceCache> others;  // more than there are states for
  for (int64_t i = 1; i < kStatePages; ++i) ASSERT_TRUE(others.emplace_back(cache, 16).prepare(0, 1));
  const auto expect_unchanged = [&](int64_t n_state) {
    EXPECT_EQ(a.state_to(kStates, 15), text);
    EXPECT_EQ(a.pages(kKeys)[0], keys);
    EXPECT_EQ(a.pages(kKeys)[1], -1);
    EXPECT_EQ(cache.n_free_pages(kStates), n_state);
    EXPECT_EQ(cache.n_free_pages(kKeys), 2 + n_state);
  };
  EXPECT_FALSE(a.prepare(16, 17)) << "no page for the state";
  expect_unchanged(0);
  others.pop_back();
  EXPECT_FALSE(a.prepare(16, 18, {.n_within = 1})) << "nor for two";
  EXPECT_FALSE(a.prepare(16, 96)) << "five pages of keys are not there";
  EXPECT_FALSE(a.prepare(16, 97)) << "longer than any text";
  expect_unchanged(1);
  EXPECT_TRUE(a.prepare(16, 64)) << "three are";
  EXPECT_EQ(a.state_from(kStates), text);
}

}  // namespace
}  // namespace sw
