// SPDX-License-Identifier: MIT
#include "router/policy_table.h"

#include <cmath>
#include <gtest/gtest.h>

#include "base/error.h"

namespace sw {
namespace {

constexpr int kLayers = 20, kCapacity = 6;

/// Ling-mini-2.0: 20 layers, the first dense; 8 of 256 experts, 4 of 8 groups.
std::vector<MoeLayer> ling_layers() {
  std::vector<MoeLayer> layers;
  for (int l = 1; l < kLayers; ++l) {
    layers.push_back(
        {.layer = l,
         .router = {
             .score = Score::Sigmoid, .n_expert = 256, .n_expert_used = 8, .n_group = 8, .n_group_used = 4}});
  }
  return layers;
}

PolicyTable ling_table(int experts_max = 256) {
  return PolicyTable(ling_layers(), kLayers, experts_max, kCapacity);
}

RoutingPolicy experts(std::vector<ExpertCount> counts) {
  return {.experts_prefill = counts, .experts_decode = counts};
}

RoutingPolicy mask(int layer, int first, int last) { return {.masks = {{layer, first, last}}}; }

std::string refusal(PolicyTable& table, const RoutingPolicy& policy) {
  try {
    return "accepted as " + std::to_string(table.resolve(policy, Phase::Decode));
  } catch (const Error& e) {
    return e.what();
  }
}

TEST(PolicyTable, TheModelsOwnRoutingIsZero) {
  PolicyTable table = ling_table();
  EXPECT_EQ(table.resolve({}, Phase::Prefill), 0);
  EXPECT_EQ(table.resolve({}, Phase::Decode), 0);
  const LayerPolicy& row = table.at(0, 18);
  EXPECT_EQ(row.k, 8);
  EXPECT_EQ(row.min_k, 8);
  EXPECT_TRUE(row.grouped());
  EXPECT_FALSE(row.masked());
}

TEST(PolicyTable, WishesThatChangeNothingAreZeroToo) {
  PolicyTable table = ling_table();
  EXPECT_EQ(table.resolve(experts({{.k = 8}}), Phase::Decode), 0);
  EXPECT_EQ(table.resolve({.threshold = Threshold{1, 0.0f}}, Phase::Decode), 0);
  EXPECT_EQ(table.resolve({.threshold = Threshold{8, 0.7f}}, Phase::Decode), 0);
  EXPECT_EQ(table.resolve({.grouped = true}, Phase::Decode), 0);
}

TEST(PolicyTable, GroupsThatAreAllUsedAreNoGroups) {
  RouterSpec spec = ling_layers()[0].router;
  spec.n_group_used = spec.n_group;
  PolicyTable table({{.layer = 0, .router = spec}}, 1, 8, 2);
  EXPECT_FALSE(table.at(0, 0).grouped());
  EXPECT_EQ(table.resolve({.grouped = false}, Phase::Decode), 0);
}

TEST(PolicyTable, PhasesMayDiffer) {
  PolicyTable table = ling_table();
  const RoutingPolicy policy{.experts_prefill = {{.k = 6}}, .experts_decode = {{.k = 4}}};
  const uint16_t prefill = table.resolve(policy, Phase::Prefill),
                 decode = table.resolve(policy, Phase::Decode);
  EXPECT_NE(prefill, decode);
  EXPECT_EQ(table.at(prefill, 0).k, 6);
  EXPECT_EQ(table.at(decode, 0).k, 4);
  EXPECT_EQ(table.resolve(experts({{.k = 4}}), Phase::Prefill), decode);
}

TEST(PolicyTable, RangesCountTheModelsLayers) {
  PolicyTable table = ling_table();
  const uint16_t id = table.resolve(experts({{0, 3, 2}, {5, 5, 16}}), Phase::Decode);
  const int expected[] = {2, 2, 2, 8, 16, 8};  // layers 1 to 6
  for (int i = 0; i < 6; ++i) EXPECT_EQ(table.at(id, i).k, expected[i]) << "layer " << i + 1;
}

TEST(PolicyTable, MasksAreBitsOfTheirLayer) {
  PolicyTable table = ling_table();
  RoutingPolicy policy = mask(3, 31, 33);
  policy.masks.push_back({3, 255, 255});
  const uint16_t id = table.resolve(policy, Phase::Decode);
  EXPECT_FALSE(table.at(id, 1).masked());
  ASSERT_TRUE(table.at(id, 2).masked());
  const auto bits = table.mask(id, 2);
  EXPECT_EQ(std::vector<uint32_t>(bits.begin(), bits.end()),
            (std::vector<uint32_t>{0x80000000u, 3, 0, 0, 0, 0, 0, 0x80000000u}));
  // The same experts in other words, and in another layer.
  policy.masks = {{3, 255, 255}, {3, 32, 33}, {3, 31, 32}};
  EXPECT_EQ(table.resolve(policy, Phase::Decode), id);
  EXPECT_NE(table.resolve(mask(4, 31, 33), Phase::Decode), id);
}

TEST(PolicyTable, TheTableNeverMovesAndIdsComeBack) {
  PolicyTable table = ling_table();
  const LayerPolicy* rows = table.rows().data();
  std::vector<uint16_t> ids;
  for (int k = 1; k < kCapacity; ++k) ids.push_back(table.resolve(experts({{.k = k}}), Phase::Decode));
  EXPECT_NE(refusal(table, experts({{.k = 20}})).find("too many different routing policies"),
            std::string::npos);
  EXPECT_EQ(table.resolve(experts({{.k = 3}}), Phase::Decode), ids[2]) << "a known policy needs no room";
  table.release(ids[2]);
  EXPECT_NE(refusal(table, mask(3, 0, 0)).find("too many"), std::string::npos) << "it has a second user";
  table.release(ids[2]);
  EXPECT_EQ(refusal(table, mask(3, 0, 0)), "accepted as " + std::to_string(ids[2]));
  EXPECT_TRUE(table.at(ids[2], 2).masked());
  EXPECT_EQ(table.at(ids[2], 0).k, 8);
  table.release(ids[2]);
  EXPECT_EQ(table.resolve(experts({{.k = 20}}), Phase::Decode), ids[2]);
  EXPECT_FALSE(table.at(ids[2], 2).masked());
  EXPECT_EQ(table.mask(ids[2], 2)[0], 0u) << "an old mask must not shine through";
  EXPECT_EQ(table.rows().data(), rows);
}

TEST(PolicyTable, RefusalChangesNothing) {
  PolicyTable table = ling_table();
  for (int i = 0; i < 100; ++i) EXPECT_THROW(table.resolve(mask(3, 0, 255), Phase::Decode), Error);
  for (int k = 1; k < kCapacity; ++k) EXPECT_NO_THROW(table.resolve(experts({{.k = k}}), Phase::Decode));
}

TEST(PolicyTable, RefusesWhatCannotBe) {
  PolicyTable table = ling_table();
  EXPECT_EQ(refusal(table, experts({{.k = 129}})),
            "more experts than the groups of the router hold: layer 1: expected at most 128 (4 groups of "
            "32), got 129 "
            "experts");
  RoutingPolicy plain = experts({{.k = 257}});
  plain.grouped = false;
  EXPECT_EQ(refusal(table, plain),
            "more experts than the layer has: layer 1: expected at most 256, got 257 experts");
  EXPECT_EQ(refusal(table, experts({{.k = 0}})), "a token needs at least one expert: layer 1: got 0 experts");
  EXPECT_EQ(refusal(table, experts({{4, 20, 4}})),
            "the number of experts names a layer that the model lacks: expected layers 0 to 19, got layers 4 "
            "to 20");
  EXPECT_EQ(refusal(table, experts({{0, 0, 4}})),
            "a number of experts was given where the model has none: layer 0");
  EXPECT_EQ(refusal(table, mask(0, 1, 2)), "the expert mask names a layer without experts: layer 0");
  EXPECT_EQ(refusal(table, mask(20, 1, 2)),
            "the expert mask names a layer that the model lacks: expected layers 0 to 19, got layer 20");
  EXPECT_EQ(
      refusal(table, mask(3, 250, 256)),
      "the expert mask names an expert that the layer lacks: layer 3: expected ids 0 to 255, got 250 to 256");
  EXPECT_EQ(refusal(table, mask(3, 0, 255)), "the expert mask forbids every expert: layer 3");
  for (const Threshold bad :
       {Threshold{0, 0.5f}, Threshold{1, -0.1f}, Threshold{1, 1.1f}, Threshold{1, NAN}}) {
    EXPECT_NE(refusal(table, {.threshold = bad}).find("the expert threshold is out of range"),
              std::string::npos);
  }
}

TEST(PolicyTable, LimitsAreReachable) {
  PolicyTable table = ling_table();
  EXPECT_EQ(table.at(table.resolve(experts({{.k = 128}}), Phase::Decode), 0).k, 128);
  RoutingPolicy plain = experts({{.k = 256}});
  plain.grouped = false;
  EXPECT_EQ(table.at(table.resolve(plain, Phase::Decode), 0).k, 256);
  EXPECT_EQ(refusal(table, mask(3, 0, 254)), "accepted as 3");
}

TEST(PolicyTable, ExpertsMaxBoundsRequests) {
  PolicyTable table = ling_table(10);
  EXPECT_EQ(refusal(table, experts({{.k = 10}})), "accepted as 1");
  EXPECT_EQ(refusal(table, experts({{.k = 11}})),
            "more experts than were planned for: layer 1: expected at most 10, got 11 experts (start with "
            "--experts-max "
            "11)");
  EXPECT_THROW(ling_table(7), Error) << "the model's own k must fit";
}

TEST(PolicyTable, ModelsWithoutExpertsHaveOnlyTheDefault) {
  PolicyTable table({}, 4, 0, 2);
  EXPECT_EQ(table.resolve({}, Phase::Decode), 0);
  EXPECT_EQ(refusal(table, experts({{.k = 4}})),
            "a number of experts was given where the model has none: every layer");
}

TEST(PolicyTable, IdentityExpertsCanBeMasked) {
  PolicyTable table({{.layer = 0, .router = {.n_expert = 40, .n_expert_zero = 30, .n_expert_used = 3}}}, 1,
                    70, 4);
  const uint16_t id = table.resolve(mask(0, 40, 69), Phase::Prefill);
  EXPECT_EQ(table.mask(id, 0)[2], 0x3fu);
  EXPECT_THROW(table.resolve(mask(0, 40, 70), Phase::Prefill), Error);
}

}  // namespace
}  // namespace sw
