// SPDX-License-Identifier: MIT
#include "router/spec.h"

#include <cmath>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/refusal.h"

namespace sw {
namespace {

/// Ling-mini-2.0.
RouterSpec ling() {
  return {.score = Score::Sigmoid,
          .n_expert = 256,
          .n_expert_used = 8,
          .n_group = 8,
          .n_group_used = 4,
          .scale = 2.5f};
}

std::string refusal(const RouterSpec& spec) {
  try {
    validate(spec, "model.gguf");
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

void expect_refused(const RouterSpec& spec, const std::string& key) {
  const std::string line = refusal(spec);
  EXPECT_NE(line.find(key), std::string::npos) << line;
  EXPECT_NE(line.find("model.gguf"), std::string::npos) << line;
}

TEST(RouterSpec, AcceptsRealModels) {
  EXPECT_EQ(refusal(ling()), "accepted");
  EXPECT_EQ(refusal({.n_expert = 512, .n_expert_zero = 256, .n_expert_used = 12, .scale = 6.0f}), "accepted");
  EXPECT_EQ(refusal({.n_expert = 1, .n_expert_used = 1}), "accepted");
}

TEST(RouterSpec, NoOrOneGroupIsPlain) {
  for (const int n : {0, 1}) {
    const RouterSpec spec{.n_expert = 8, .n_expert_used = 8, .n_group = n, .n_group_used = 0};
    EXPECT_EQ(refusal(spec), "accepted");
    EXPECT_FALSE(spec.has_groups());
    EXPECT_EQ(spec.max_k(true), 8);
  }
  // A count of groups that was lost must not turn group routing off in silence.
  expect_refused({.n_expert = 8, .n_expert_used = 2, .n_group = 1, .n_group_used = 2},
                 "expert_group_used_count");
}

TEST(RouterSpec, NamesTheKeyAsItsSourceDoes) {
  const RouterSpec spec{.n_expert = 8, .n_expert_used = 9};
  testing::expect_refused(
      [&] { validate(spec, "config.json", [](std::string_view key) { return "hf." + std::string(key); }); },
      "the key hf.expert_used_count is out of range");
}

TEST(RouterSpec, NamesTheKey) {
  const auto with = [](auto field, auto value) {
    RouterSpec spec = ling();
    spec.*field = value;
    return spec;
  };
  for (const int bad : {0, -1, 1 << 30}) expect_refused(with(&RouterSpec::n_expert, bad), "expert_count");
  for (const int bad : {-1, 257}) expect_refused(with(&RouterSpec::n_group, bad), "expert_group_count");
  expect_refused(with(&RouterSpec::n_group, 7), "expert_count is not a multiple of expert_group_count");
  for (const int bad : {0, -1, 9})
    expect_refused(with(&RouterSpec::n_group_used, bad), "expert_group_used_count");
  // 4 groups of 32 hold 128.
  for (const int bad : {0, -1, 129})
    expect_refused(with(&RouterSpec::n_expert_used, bad), "expert_used_count");
  EXPECT_EQ(refusal(with(&RouterSpec::n_expert_used, 128)), "accepted");
  for (const int bad : {-1, 1 << 30})
    expect_refused(with(&RouterSpec::n_expert_zero, bad), "expert_zero_count");
  expect_refused(with(&RouterSpec::n_expert_zero, 4), "identity");
  for (const float bad : {0.0f, -1.0f, NAN, INFINITY}) {
    expect_refused(with(&RouterSpec::scale, bad), "expert_weights_scale");
  }
  expect_refused({.n_expert = 4, .n_expert_zero = 2, .n_expert_used = 7}, "expert_used_count");
}

}  // namespace
}  // namespace sw
