// SPDX-License-Identifier: MIT
#include "router/resolve.h"

#include <gtest/gtest.h>

#include "support/refusal.h"

namespace sw {
namespace {

constexpr int kLayers = 4;

/// Four layers, the first dense; 4 of 40 experts, which need two words of mask, 2 of 4 groups.
std::vector<MoeLayer> layers() {
  std::vector<MoeLayer> layers;
  for (int l = 1; l < kLayers; ++l) {
    layers.push_back(
        {.layer = l, .router = {.n_expert = 40, .n_expert_used = 4, .n_group = 4, .n_group_used = 2}});
  }
  return layers;
}

TEST(ResolveRows, OneRowForEachLayerWithARouter) {
  const RoutingPolicy policy{.experts_decode = {{.first = 2, .last = 2, .k = 7}},
                             .threshold = Threshold{2, 0.5f},
                             .masks = {{.layer = 3, .first = 31, .last = 33}}};
  const ResolvedRows resolved = resolve_rows(policy, Phase::Decode, layers(), kLayers);
  ASSERT_EQ(resolved.rows.size(), 3u);
  ASSERT_EQ(resolved.n_mask_words, 2u);
  EXPECT_EQ(resolved.rows[0],
            (LayerPolicy{.k = 4, .min_k = 2, .threshold = 0.5f, .flags = LayerPolicy::kGrouped}));
  EXPECT_EQ(resolved.rows[1].k, 7);
  EXPECT_EQ(resolved.rows[2].flags, LayerPolicy::kGrouped | LayerPolicy::kMasked);
  EXPECT_EQ(resolved.mask(0)[0] | resolved.mask(0)[1] | resolved.mask(1)[0] | resolved.mask(1)[1], 0u);
  EXPECT_EQ(resolved.mask(2)[0], 1u << 31);
  EXPECT_EQ(resolved.mask(2)[1], 3u);
  EXPECT_EQ(resolve_rows(policy, Phase::Prefill, layers(), kLayers).rows[1].k, 4) << "said of decode alone";
}

TEST(ResolveRows, ALimitIsOnlyWhereItIsGiven) {
  const RoutingPolicy policy{.experts_prefill = {{.k = 9}}};
  EXPECT_EQ(resolve_rows(policy, Phase::Prefill, layers(), kLayers).rows.front().k, 9);
  testing::expect_refused([&] { resolve_rows(policy, Phase::Prefill, layers(), kLayers, 8); },
                          "more experts than were planned for");
}

TEST(CheckPolicy, LooksAtBothPhases) {
  check_policy({}, layers(), kLayers);
  check_policy({.experts_prefill = {{.k = 20}}, .experts_decode = {{.k = 1}}}, layers(), kLayers);
  const auto refused = [](const RoutingPolicy& policy) {
    testing::expect_refused([&] { check_policy(policy, layers(), kLayers); }, "more experts than");
  };
  refused({.experts_prefill = {{.k = 21}}});
  refused({.experts_decode = {{.k = 21}}});
}

TEST(ExpertsNeeded, IsTheMostOfModelAndPolicy) {
  EXPECT_EQ(experts_needed(layers(), {}), 4);
  EXPECT_EQ(experts_needed(layers(), {.experts_decode = {{.k = 2}}}), 4) << "other layers keep the model's";
  EXPECT_EQ(experts_needed(layers(), {.experts_prefill = {{.k = 3}, {.k = 11}}}), 11);
  EXPECT_EQ(experts_needed(layers(), {.experts_prefill = {{.k = 1000}}}), 40);
  EXPECT_EQ(experts_needed({}, {.experts_prefill = {{.k = 3}}}), 0);
}

}  // namespace
}  // namespace sw
