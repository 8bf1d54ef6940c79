// SPDX-License-Identifier: MIT
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>

#include "base/math.h"
#include "base/rng.h"
#include "unit/router/run_route.h"

namespace sw {
namespace {

using testing::OneLayer;
using testing::OwnedRouting;
using Ids = std::vector<int32_t>;
using Floats = std::vector<float>;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Sigmoid scores keep the order of logits and let a bias do as it likes.
RouterSpec sigmoid_spec(int n_expert, int k, int n_group = 1, int n_group_used = 1) {
  return {.score = Score::Sigmoid,
          .n_expert = n_expert,
          .n_expert_used = k,
          .n_group = n_group,
          .n_group_used = n_group_used};
}

RoutingPolicy with_experts(int k) { return {.experts_decode = {{.k = k}}}; }

Ids sorted(Ids ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

TEST(Route, WeightsComeFromUnbiasedScores) {
  const Floats logits = {1.0f, 0.0f, -1.0f, 0.5f}, bias = {-1.0f, 0.0f, 1.0f, -1.0f};
  const OwnedRouting r = OneLayer(sigmoid_spec(4, 2))(logits, bias);
  EXPECT_EQ(r.ids, (Ids{1, 2}));
  EXPECT_EQ(r.weights, (Floats{sigmoid_exact(0.0f), sigmoid_exact(-1.0f)}));
}

TEST(Route, Top2SumAndMaxChooseDifferentGroups) {
  // Group 0 has the best expert, group 1 the best pair.
  const Floats logits = {3.0f, -3.0f, 1.0f, 1.5f};
  RouterSpec spec = sigmoid_spec(4, 1, 2, 1);
  EXPECT_EQ(OneLayer(spec)(logits).ids, Ids{3});
  spec.group_score = GroupScore::Max;
  EXPECT_EQ(OneLayer(spec)(logits).ids, Ids{0});
}

TEST(Route, GroupsAreNeighbours) {
  // Were group g the ids with id % 2 == g, experts 0 and 2 would stand together and win.
  const Floats logits = {2.0f, -9.0f, 2.0f, 1.0f};
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 2, 2, 1))(logits).ids, (Ids{2, 3}));
}

TEST(Route, GroupsAreScoredWithTheBiasOn) {
  const Floats logits = {1.0f, 1.0f, 0.0f, 0.0f}, bias = {0.0f, 0.0f, 1.0f, 1.0f};
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 2, 2, 1))(logits, bias).ids, (Ids{2, 3}));
}

TEST(Route, GroupsOfOneScoreTheirOnlyMember) {
  const Floats logits = {0.1f, 0.4f, 0.3f, 0.2f};
  for (const GroupScore score : {GroupScore::Top2Sum, GroupScore::Max}) {
    RouterSpec spec = sigmoid_spec(4, 2, 4, 3);
    spec.group_score = score;
    EXPECT_EQ(OneLayer(spec)(logits).ids, (Ids{1, 2}));
  }
}

TEST(Route, DroppedGroupsStayOutWhenBiasedScoresAreNegative) {
  // A mask of 0 instead of -inf would let experts 2 and 3 win.
  const Floats logits = {0.0f, 0.0f, 0.0f, 0.0f}, bias = {-2.0f, -2.0f, -3.0f, -3.0f};
  const OwnedRouting r = OneLayer(sigmoid_spec(4, 2, 2, 1))(logits, bias);
  EXPECT_EQ(r.ids, (Ids{0, 1}));
  RoutingPolicy masked;
  masked.masks = {{.layer = 0, .first = 0, .last = 0}};
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 2), masked)(logits, bias).ids, (Ids{1, 2}));
}

TEST(Route, GroupedCanBeSwitchedOff) {
  const Floats logits = {3.0f, -3.0f, 1.0f, 1.5f};
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 2, 2, 1), {.grouped = false})(logits).ids, (Ids{0, 3}));
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 2, 2, 1), {.grouped = true})(logits).ids, (Ids{3, 2}));
}

TEST(Route, AllEqualScoresTakeTheLowestIds) {
  for (const Score score : {Score::Softmax, Score::Sigmoid, Score::SoftmaxSelected}) {
    RouterSpec spec = sigmoid_spec(256, 8, 8, 4);
    spec.score = score;
    const OwnedRouting r = OneLayer(spec)(Floats(256, 0.25f));
    Ids first(8);
    std::iota(first.begin(), first.end(), 0);
    EXPECT_EQ(r.ids, first);
    EXPECT_EQ(r.weights, Floats(8, r.weights[0]));
  }
}

TEST(Route, RowsAreOrderedByWeightNotBySelection) {
  // Expert 0 is selected first for its bias, but weighs least.
  const Floats logits = {-1.0f, 1.0f, 0.0f, -5.0f}, bias = {9.0f, 0.0f, 0.0f, 0.0f};
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 3))(logits, bias).ids, (Ids{1, 2, 0}));
  // With fewer experts the best by selection stay, not the heaviest.
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 3), with_experts(1))(logits, bias).ids, Ids{0});
}

TEST(Route, RenormalisesOverTheKept) {
  RouterSpec spec = sigmoid_spec(4, 3);
  spec.renorm = true;
  spec.scale = 2.5f;
  for (int k = 1; k <= 4; ++k) {
    const OwnedRouting r = OneLayer(spec, with_experts(k))(Floats{0.4f, 0.3f, 0.2f, 0.1f});
    EXPECT_NEAR(std::accumulate(r.weights.begin(), r.weights.end(), 0.0f), 2.5f, 1e-6f) << "k " << k;
  }
}

TEST(Route, SingleExpertOfBailingStaysRaw) {
  RouterSpec spec = sigmoid_spec(4, 2);
  spec.renorm = true;
  spec.renorm_eps = 1e-20f;
  spec.scale = 2.5f;
  const Floats logits = {0.5f, 0.25f, 0.0f, 0.0f};
  EXPECT_EQ(OneLayer(spec, with_experts(1))(logits).weights, Floats{2.5f});
  spec.renorm_min_k = 2;
  EXPECT_EQ(OneLayer(spec, with_experts(1))(logits).weights, Floats{sigmoid_exact(0.5f) * 2.5f});
  const OwnedRouting two = OneLayer(spec)(logits);
  EXPECT_NEAR(two.weights[0] + two.weights[1], 2.5f, 1e-6f);
}

TEST(Route, RenormLooksAtThePolicysKNotAtWhatIsLeft) {
  RouterSpec spec = sigmoid_spec(4, 2);
  spec.renorm = true;
  spec.renorm_min_k = 2;
  const Floats logits = {0.5f, 0.25f, 0.0f, 0.0f};
  RoutingPolicy only_expert_2;
  only_expert_2.masks = {{.layer = 0, .first = 0, .last = 1}, {.layer = 0, .first = 3, .last = 3}};
  const OwnedRouting masked = OneLayer(spec, only_expert_2)(logits);
  EXPECT_EQ(masked.ids, (Ids{2, -1}));
  EXPECT_EQ(masked.weights, (Floats{1.0f, 0.0f}));
  const OwnedRouting thinned = OneLayer(spec, {.threshold = Threshold{1, 1.0f}})(logits);
  EXPECT_EQ(thinned.ids, (Ids{0, -1}));
  EXPECT_EQ(thinned.weights, (Floats{1.0f, 0.0f}));
}

TEST(Route, SoftmaxSelectedIsOverTheKept) {
  RouterSpec spec = sigmoid_spec(4, 3);
  spec.score = Score::SoftmaxSelected;
  const Floats logits = {std::log(4.0f), std::log(2.0f), std::log(1.0f), std::log(0.5f)};
  const OwnedRouting two = OneLayer(spec, with_experts(2))(logits);
  EXPECT_NEAR(two.weights[0], 2.0f / 3.0f, 1e-6f);
  const OwnedRouting thinned = OneLayer(spec, {.threshold = Threshold{1, 0.4f}})(logits);
  EXPECT_EQ(thinned.ids, (Ids{0, 1, -1}));
  EXPECT_EQ(thinned.weights[0], two.weights[0]);
}

TEST(Route, ThresholdKeepsTheBestAndTheHeavy) {
  RouterSpec spec = sigmoid_spec(5, 4);
  spec.score = Score::Softmax;
  // Shares of the largest: 1, 0.5, 0.25, 0.125.
  const Floats logits = {0.0f, std::log(0.5f), std::log(0.25f), std::log(0.125f), -9.0f};
  const auto kept = [&](int min_k, float share) {
    const OwnedRouting r = OneLayer(spec, {.threshold = Threshold{min_k, share}})(logits);
    return r.n_active[0];
  };
  EXPECT_EQ(kept(1, 0.0f), 4);
  EXPECT_EQ(kept(1, 0.12f), 4);
  EXPECT_EQ(kept(1, 0.2f), 3);
  EXPECT_EQ(kept(1, 0.3f), 2);
  EXPECT_EQ(kept(1, 1.0f), 1);
  EXPECT_EQ(kept(3, 1.0f), 3);
  EXPECT_EQ(kept(9, 1.0f), 4);
}

TEST(Route, ThresholdRanksBySelectionAndComparesWeights) {
  // Selected by score + bias in the order 0, 1, 2; the largest weight is expert 2's.
  const Floats logits = {-2.0f, -1.0f, 3.0f, -9.0f}, bias = {9.0f, 5.0f, 0.0f, 0.0f};
  const OwnedRouting r = OneLayer(sigmoid_spec(4, 3), {.threshold = Threshold{1, 0.5f}})(logits, bias);
  EXPECT_EQ(r.ids, (Ids{2, 0, -1}));
  EXPECT_EQ(r.weights, (Floats{sigmoid_exact(3.0f), sigmoid_exact(-2.0f), 0.0f}));
  EXPECT_EQ(r.n_active[0], 2);
}

TEST(Route, MasksActBeforeGroupScores) {
  // Without expert 0 the first group loses, whatever expert 1 is.
  const Floats logits = {5.0f, -1.0f, 0.5f, 0.5f};
  const RouterSpec spec = sigmoid_spec(4, 2, 2, 1);
  EXPECT_EQ(OneLayer(spec)(logits).ids, (Ids{0, 1}));
  const RoutingPolicy no_0{.masks = {{.layer = 0, .first = 0, .last = 0}}};
  EXPECT_EQ(OneLayer(spec, no_0)(logits).ids, (Ids{2, 3}));
}

TEST(Route, AGroupWithoutMembersIsNeverKept) {
  // Its score must be -inf, not 0: all the others' are negative.
  const Floats logits(6, 0.0f), bias = {-kInf, -kInf, -9.0f, -9.0f, -8.0f, -8.0f};
  const OwnedRouting r = OneLayer(sigmoid_spec(6, 3, 3, 2))(logits, bias);
  EXPECT_EQ(sorted(r.ids), (Ids{2, 4, 5}));
}

TEST(Route, AGroupWhoseSumOverflowsStillHasMembers) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const Floats logits(4, 0.0f), bias = {-kInf, -kInf, -kMax, -kMax};
  EXPECT_EQ(OneLayer(sigmoid_spec(4, 1, 2, 1))(logits, bias).ids, Ids{2});
}

TEST(Route, FewerThanKLeftEmptiesTheLastSlots) {
  const RoutingPolicy policy{.masks = {{.layer = 0, .first = 0, .last = 5}}};
  const OwnedRouting r = OneLayer(sigmoid_spec(8, 4, 4, 2), policy)(Floats(8, 1.0f));
  EXPECT_EQ(r.ids, (Ids{6, 7, -1, -1}));
  EXPECT_EQ(r.weights[2], 0.0f);
  EXPECT_EQ(r.n_active[0], 2);
}

TEST(Route, WiderRowsThanThePolicysKArePadded) {
  const OwnedRouting r = OneLayer(sigmoid_spec(4, 1))(Floats{0.0f, 1.0f, 0.0f, 0.0f}, {}, 3);
  EXPECT_EQ(r.ids, (Ids{1, -1, -1}));
  EXPECT_EQ(r.weights, (Floats{sigmoid_exact(1.0f), 0.0f, 0.0f}));
}

TEST(Route, IdentityExpertsTakePartLikeOthers) {
  RouterSpec spec = sigmoid_spec(3, 2);
  spec.n_expert_zero = 2;
  const OwnedRouting r = OneLayer(spec)(Floats{0.0f, 1.0f, 0.0f, 3.0f, 2.0f});
  EXPECT_EQ(r.ids, (Ids{3, 4}));
  EXPECT_EQ(r.n_active[0], 2);
}

TEST(Route, NanMasksItsExpertOnly) {
  for (const Score score : {Score::Softmax, Score::Sigmoid, Score::SoftmaxSelected}) {
    RouterSpec spec = sigmoid_spec(4, 2);
    spec.score = score;
    const OwnedRouting r = OneLayer(spec)(Floats{kNan, 1.0f, 2.0f, 0.0f});
    EXPECT_EQ(r.ids, (Ids{2, 1}));
    // As if the expert were not there.
    spec.n_expert = 3;
    EXPECT_EQ(r.weights, OneLayer(spec)(Floats{1.0f, 2.0f, 0.0f}).weights);
  }
}

TEST(Route, InfinityCountsAsTheLargestFloat) {
  constexpr float kMax = std::numeric_limits<float>::max();
  for (const Score score : {Score::Softmax, Score::Sigmoid, Score::SoftmaxSelected}) {
    RouterSpec spec = sigmoid_spec(4, 3);
    spec.score = score;
    spec.renorm = true;
    const OwnedRouting r = OneLayer(spec)(Floats{kInf, 1.0f, kMax, kInf});
    EXPECT_EQ(r.ids, (Ids{0, 2, 3}));
    EXPECT_EQ(r.weights, OneLayer(spec)(Floats{kMax, 1.0f, kMax, kMax}).weights);
    EXPECT_NEAR(r.weights[0], 1.0f / 3.0f, 1e-6f);
  }
}

TEST(Route, NothingSelectableGivesAnEmptyRow) {
  RouterSpec spec = sigmoid_spec(4, 2, 2, 1);
  spec.renorm = true;
  for (const Score score : {Score::Softmax, Score::Sigmoid, Score::SoftmaxSelected}) {
    spec.score = score;
    const OwnedRouting r = OneLayer(spec)(Floats(4, kNan));
    EXPECT_EQ(r.ids, (Ids{-1, -1}));
    EXPECT_EQ(r.weights, (Floats{0.0f, 0.0f}));
    EXPECT_EQ(r.n_active[0], 0);
    EXPECT_EQ(OneLayer(spec)(Floats(4, 1.0f), Floats(4, -kInf)).n_active[0], 0);
  }
  for (const Score score : {Score::Softmax, Score::SoftmaxSelected}) {
    spec.score = score;
    EXPECT_EQ(OneLayer(spec)(Floats(4, -kInf)).n_active[0], 0);
  }
}

TEST(Route, WeightsThatAreAllZeroAreNotDivided) {
  // The mask leaves only experts whose softmax underflows.
  RouterSpec spec = sigmoid_spec(4, 2);
  spec.score = Score::Softmax;
  spec.renorm = true;
  const RoutingPolicy policy{.masks = {{.layer = 0, .first = 0, .last = 0}}};
  const OwnedRouting r = OneLayer(spec, policy)(Floats{500.0f, 1.0f, 2.0f, 3.0f});
  EXPECT_EQ(r.weights, (Floats{0.0f, 0.0f}));
  EXPECT_EQ(r.ids, (Ids{1, 2}));
}

TEST(Route, ATokenDependsOnItselfAlone) {
  constexpr int kTokens = 40, kExperts = 64;
  Rng rng(7);
  Floats logits(kTokens * kExperts);
  for (float& x : logits) x = static_cast<float>(rng.uniform() * 6.0 - 3.0);
  const OneLayer layer(sigmoid_spec(kExperts, 6, 8, 3));
  const OwnedRouting batch = layer(logits);
  Floats shuffled(logits.size());
  const auto place = [](int t) { return (t * 17 + 5) % kTokens; };
  for (int t = 0; t < kTokens; ++t) {
    std::copy_n(logits.begin() + t * kExperts, kExperts, shuffled.begin() + place(t) * kExperts);
  }
  const OwnedRouting moved = layer(shuffled);
  for (int t = 0; t < kTokens; ++t) {
    const OwnedRouting alone = layer(std::span(logits).subspan(static_cast<size_t>(t) * kExperts, kExperts));
    EXPECT_EQ(alone.ids, batch.row_ids(t));
    EXPECT_EQ(alone.weights, batch.row_weights(t));
    EXPECT_EQ(moved.row_ids(place(t)), batch.row_ids(t));
    EXPECT_EQ(moved.row_weights(place(t)), batch.row_weights(t));
  }
}

TEST(Route, ABatchMixesPoliciesAndLayersHaveTheirOwn) {
  const RouterSpec spec = sigmoid_spec(4, 2);
  PolicyTable table({{.layer = 1, .router = spec}, {.layer = 2, .router = spec}}, 3, 4, 8);
  const uint16_t three = table.resolve({.experts_decode = {{.first = 2, .last = 2, .k = 3}}}, Phase::Decode);
  const uint16_t no_3 = table.resolve({.masks = {{.layer = 1, .first = 3, .last = 3}}}, Phase::Decode);
  const Floats row = {1.0f, 2.0f, 3.0f, 4.0f};
  Floats logits;
  for (int t = 0; t < 3; ++t) logits.insert(logits.end(), row.begin(), row.end());
  const std::vector<uint16_t> ids = {three, 0, no_3};
  RouteScratch scratch(spec);
  OwnedRouting out(3, 3);
  route(spec, table.view(), 0, ids, {logits.data(), 3, 4}, {}, scratch, out.view);
  EXPECT_EQ(out.ids, (Ids{3, 2, -1, 3, 2, -1, 2, 1, -1}));
  route(spec, table.view(), 1, ids, {logits.data(), 3, 4}, {}, scratch, out.view);
  EXPECT_EQ(out.ids, (Ids{3, 2, 1, 3, 2, -1, 3, 2, -1}));
}

}  // namespace
}  // namespace sw
