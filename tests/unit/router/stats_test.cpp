// SPDX-License-Identifier: MIT
#include "router/stats.h"

#include <cmath>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "unit/router/run_route.h"

namespace sw {
namespace {

using testing::OwnedRouting;
using Counts = std::vector<uint64_t>;

MoeLayer grouped_layer(int layer) {
  return {.layer = layer,
          .router = {
              .score = Score::Sigmoid, .n_expert = 8, .n_expert_used = 3, .n_group = 4, .n_group_used = 2}};
}

/// Rows of up to k ids, with equal weights unless given.
OwnedRouting rows_of(int k, const std::vector<std::vector<int32_t>>& rows, std::vector<float> weights = {}) {
  OwnedRouting r(std::ssize(rows), k);
  for (int64_t t = 0; t < std::ssize(rows); ++t) {
    const auto& row = rows[static_cast<size_t>(t)];
    r.n_active[static_cast<size_t>(t)] = static_cast<int32_t>(row.size());
    for (int64_t i = 0; i < k; ++i) {
      const bool used = i < std::ssize(row);
      r.view.ids.at(t, i) = used ? row[static_cast<size_t>(i)] : -1;
      r.view.weights.at(t, i) = !used ? 0.0f : weights.empty() ? 0.5f : weights[static_cast<size_t>(i)];
    }
  }
  return r;
}

TEST(RoutingStats, CountsExpertsAndGroups) {
  const std::vector<MoeLayer> layers = {grouped_layer(1), grouped_layer(2)};
  RoutingStats stats(layers, 3);
  stats.add(1, rows_of(3, {{0, 1, 7}, {2}, {4, 5}, {}}).view);
  const LayerStats& s = stats.layers()[1];
  EXPECT_EQ(s.layer, 2);
  EXPECT_EQ(s.n_tokens, 4u);
  EXPECT_EQ(s.counts, (Counts{1, 1, 1, 0, 1, 1, 0, 1}));
  EXPECT_EQ(s.groups_per_token, (Counts{1, 2, 1, 0, 0}));
  EXPECT_EQ(s.real_per_token, (Counts{1, 1, 1, 1}));
  EXPECT_EQ(stats.layers()[0].n_tokens, 0u);
  // Entropy: log2(3) + 0 + 1 + 0.
  EXPECT_NEAR(s.entropy_bits, std::log2(3.0) + 1.0, 1e-6);
}

TEST(RoutingStats, EntropyIsOfNormalisedWeights) {
  const std::vector<MoeLayer> layers = {grouped_layer(0)};
  RoutingStats stats(layers, 3);
  stats.add(0, rows_of(3, {{0, 1, 2}}, {2.0f, 1.0f, 1.0f}).view);
  EXPECT_NEAR(stats.layers()[0].entropy_bits, 1.5, 1e-9);
  stats.add(0, rows_of(3, {{0, 1, 2}}, {0.0f, 0.0f, 0.0f}).view);
  EXPECT_NEAR(stats.layers()[0].entropy_bits, 1.5, 1e-9);
}

TEST(RoutingStats, IdentityExpertsAreNotReal) {
  const std::vector<MoeLayer> layers = {
      {.layer = 0, .router = {.n_expert = 4, .n_expert_zero = 2, .n_expert_used = 2}}};
  RoutingStats stats(layers, 2);
  stats.add(0, rows_of(2, {{0, 4}, {5, 4}, {1, 0}}).view);
  const LayerStats& s = stats.layers()[0];
  EXPECT_EQ(s.counts, (Counts{2, 1, 0, 0, 2, 1}));
  EXPECT_EQ(s.real_per_token, (Counts{1, 1, 1}));
  EXPECT_DOUBLE_EQ(s.mean_count(), 0.75);
  EXPECT_DOUBLE_EQ(s.imbalance(), 2.0 / 0.75);
}

TEST(RoutingStats, MergingIsCountingTogether) {
  const std::vector<MoeLayer> layers = {grouped_layer(0)};
  RoutingStats all(layers, 4), a(layers, 3), b(layers, 4);
  const OwnedRouting first = rows_of(3, {{0, 1}, {7, 6, 5}}), second = rows_of(4, {{0, 2, 4, 6}});
  a.add(0, first.view);
  b.add(0, second.view);
  all.add(0, first.view);
  all.add(0, second.view);
  a.merge(b);
  const LayerStats &got = a.layers()[0], &want = all.layers()[0];
  EXPECT_EQ(got.n_tokens, want.n_tokens);
  EXPECT_EQ(got.counts, want.counts);
  EXPECT_EQ(got.groups_per_token, want.groups_per_token);
  EXPECT_EQ(got.real_per_token, want.real_per_token);
  EXPECT_NEAR(got.entropy_bits, want.entropy_bits, 1e-9);
}

TEST(RoutingStats, OtherModelsAreNotMerged) {
  const std::vector<MoeLayer> layers = {grouped_layer(0)};
  RoutingStats stats(layers, 3);
  std::vector<MoeLayer> other = {grouped_layer(1)};
  EXPECT_THROW(stats.merge(RoutingStats(other, 3)), Error);
  other = {grouped_layer(0), grouped_layer(1)};
  EXPECT_THROW(stats.merge(RoutingStats(other, 3)), Error);
  other = {grouped_layer(0)};
  other[0].router.n_expert = 12;
  EXPECT_THROW(stats.merge(RoutingStats(other, 3)), Error);
}

TEST(RoutingStats, GroupedRoutingTouchesItsGroups) {
  const std::vector<MoeLayer> layers = {grouped_layer(0)};
  const testing::OneLayer layer(layers[0].router);
  Rng rng(5);
  std::vector<float> logits(8 * 500);
  for (float& x : logits) x = static_cast<float>(rng.uniform());
  RoutingStats stats(layers, 3);
  stats.add(0, layer(logits).view);
  // 3 experts of 2 kept groups of 2.
  EXPECT_EQ(stats.layers()[0].groups_per_token, (Counts{0, 0, 500, 0, 0}));
}

}  // namespace
}  // namespace sw
