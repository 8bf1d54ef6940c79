// SPDX-License-Identifier: MIT
// Every case of golden/routing.json: ids exactly, weights to 1e-6, as the Python has them.
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/safetensors.h"
#include "support/test_data.h"
#include "unit/router/run_route.h"

namespace sw {
namespace {

using testing::OneLayer;
using testing::OwnedRouting;

RouterSpec spec_of(const nlohmann::json& c) {
  const std::string gating = c["gating"];
  const int n_logits = c["n_expert"], n_zero = c["n_zero"];
  return {.score = gating == "softmax"   ? Score::Softmax
                   : gating == "sigmoid" ? Score::Sigmoid
                                         : Score::SoftmaxSelected,
          .select_bias = c["has_bias"],
          .n_expert = n_logits - n_zero,
          .n_expert_zero = n_zero,
          .n_expert_used = c["top_k"],
          .n_group = c["n_group"],
          .n_group_used = c["topk_group"],
          .group_score = c["group_score"] == "max" ? GroupScore::Max : GroupScore::Top2Sum,
          .renorm = c["norm"],
          .renorm_eps = c["norm_eps"],
          .scale = c["scale"]};
}

/// A case's limit N > 0 keeps the min(N, top_k) best: a policy of that many experts.
RoutingPolicy policy_of(const nlohmann::json& c, const Safetensors& data) {
  RoutingPolicy policy;
  const int limit = c["limit"];
  if (limit > 0) policy.experts_decode = {{.k = std::min(limit, static_cast<int>(c["top_k"]))}};
  if (const StTensor* mask = data.find(std::string(c["case"]) + ".mask")) {
    const std::vector<int32_t> selectable = Safetensors::to_i32(*mask);
    for (int e = 0; e < std::ssize(selectable); ++e) {
      if (!selectable[static_cast<size_t>(e)]) policy.masks.push_back({.layer = 0, .first = e, .last = e});
    }
  }
  return policy;
}

void check_case(const nlohmann::json& c, const Safetensors& data) {
  const std::string name = c["case"];
  SCOPED_TRACE(name + " " + std::string(c["name"]));
  const RouterSpec spec = spec_of(c);
  ASSERT_NO_THROW(validate(spec, name));
  std::vector<float> bias;
  if (c["has_bias"]) bias = Safetensors::to_f32(data.require(name + ".bias"));
  const OneLayer layer(spec, policy_of(c, data));
  const OwnedRouting got = layer(Safetensors::to_f32(data.require(name + ".logits")), bias);
  ASSERT_EQ(got.view.ids.n_cols(), c["n_selected"]);
  EXPECT_EQ(got.ids, Safetensors::to_i32(data.require(name + ".ids")));
  const std::vector<float> weights = Safetensors::to_f32(data.require(name + ".weights"));
  ASSERT_EQ(got.weights.size(), weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_NEAR(got.weights[i], weights[i], 1e-6f * std::fabs(weights[i])) << "at " << i;
  }
}

TEST(RoutingGolden, EveryCase) {
  SW_DATA_OR_SKIP(json_path, "golden/routing.json");
  SW_DATA_OR_SKIP(data_path, "golden/routing.safetensors");
  const auto cases = nlohmann::json::parse(read_file(json_path));
  const Safetensors data(data_path);
  ASSERT_GE(cases.size(), 28u);
  for (const auto& c : cases) check_case(c, data);
}

}  // namespace
}  // namespace sw
