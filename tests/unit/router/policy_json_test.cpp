// SPDX-License-Identifier: MIT
#include "router/policy_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sw {
namespace {

using nlohmann::json;

TEST(PolicyJson, SaysEveryWish) {
  const RoutingPolicy p = policy_from_json(json::parse(
      R"({"experts_decode": 2, "experts": [[0, 3, 8], [4, 19, 4]], "grouped": false, "threshold": [1, 0.25],
          "mask": {"5": [1, 7]}})"));
  EXPECT_EQ(p.experts_prefill, (std::vector<ExpertCount>{{0, 3, 8}, {4, 19, 4}}));
  EXPECT_EQ(p.experts_decode, (std::vector<ExpertCount>{{.k = 2}})) << "the phase's own goes before both";
  EXPECT_EQ(p.grouped, false);
  EXPECT_EQ(p.threshold, (Threshold{1, 0.25f}));
  EXPECT_EQ(p.masks, (std::vector<ExpertMask>{{5, 1, 1}, {5, 7, 7}}));
  EXPECT_EQ(policy_from_json(policy_to_json(p)), p);
}

TEST(PolicyJson, AnEmptyObjectWishesNothing) {
  EXPECT_EQ(policy_from_json(json::object()), RoutingPolicy{});
  EXPECT_EQ(policy_to_json({}), json::object());
  const RoutingPolicy base{.grouped = true};
  EXPECT_EQ(policy_from_json({{"experts", 4}}, base).grouped, true) << "what a flag said stays";
}

TEST(PolicyJson, RefusesInOneLineThatNamesTheMember) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "moe."},
      {R"({"experts": 0})", "moe.experts"},
      {R"({"experts": -3})", "moe.experts"},
      {R"({"experts": 2.5})", "moe.experts"},
      {R"({"experts": 99999999999})", "moe.experts"},
      {R"({"experts": [[4, 0, 3]]})", "moe.experts"},
      {R"({"experts_decode": [[0, 3]]})", "moe.experts_decode"},
      {R"({"grouped": 1})", "moe.grouped"},
      {R"({"threshold": [1, 1.5]})", "moe.threshold"},
      {R"({"threshold": [1, null]})", "moe.threshold"},
      {R"({"mask": {"x": [1]}})", "moe.mask"},
      {R"({"mask": {"3": [-1]}})", "moe.mask.3"},
      {R"({"expert": 4})", "moe.expert"},
  };
  for (const auto& [text, where] : cases) {
    try {
      policy_from_json(json::parse(text));
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(where), std::string::npos) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace sw
