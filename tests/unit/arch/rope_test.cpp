// SPDX-License-Identifier: MIT
#include "arch/rope.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sw {
namespace {

RopeParams scaled(RopeScaling kind, float factor) {
  return {.n_rot = 16, .scaling = static_cast<int>(kind), .factor = factor, .n_ctx_orig = 4096};
}

void expect_frequencies(const RopeTable& table, const std::vector<double>& expected) {
  ASSERT_EQ(table.inv_freq.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(table.inv_freq[i]), expected[i], 1e-6 * expected[i]) << i;
  }
}

TEST(Rope, PlainFrequenciesArePowersOfTheBase) {
  const RopeTable table = rope_table(scaled(RopeScaling::None, 4));
  for (size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(table.inv_freq[i], std::pow(10.0f, -0.5f * float(i)));
  EXPECT_EQ(table.magnitude, 1.0f);
}

TEST(Rope, LinearAndAFilesFactorsDivide) {
  const std::vector<float> factors = {1, 2, 3, 4, 5, 6, 7, 8};
  const RopeTable plain = rope_table(scaled(RopeScaling::None, 4));
  const RopeTable linear = rope_table(scaled(RopeScaling::Linear, 4));
  const RopeTable divided = rope_table(scaled(RopeScaling::None, 4), factors.data());
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(linear.inv_freq[i], plain.inv_freq[i] / 4);
    EXPECT_EQ(divided.inv_freq[i], plain.inv_freq[i] / factors[i]);
  }
}

/// Expected: the published formula of transformers (_compute_yarn_parameters), evaluated in Python.
TEST(Rope, YarnLeavesFastPairsAndScalesSlowOnes) {
  RopeParams rope = scaled(RopeScaling::Yarn, 4);
  expect_frequencies(rope_table(rope),
                     {1, 0.316227766, 0.1, 0.025693506, 0.00625, 0.00138349648, 0.00025, 7.90569415e-05});
  EXPECT_FLOAT_EQ(rope_table(rope).magnitude, 1.13862944f);
  rope.yarn_round = false;
  expect_frequencies(rope_table(rope), {1, 0.316227766, 0.1, 0.0286136088, 0.00655697152, 0.00128563203,
                                        0.00025, 7.90569415e-05});
  rope.attn_factor = 0.5f;
  EXPECT_FLOAT_EQ(rope_table(rope).magnitude, 0.56931472f);
}

/// DeepSeek-V3's figures: mscale and mscale_all_dim 1, factor 40.
TEST(Rope, YarnMayScaleScoresInsteadOfRotations) {
  RopeParams rope = scaled(RopeScaling::Yarn, 40);
  EXPECT_EQ(yarn_score_scale(rope), 1.0f);
  rope.log_multiplier = 0.1f;
  EXPECT_EQ(rope_table(rope).magnitude, 1.0f);
  EXPECT_FLOAT_EQ(yarn_score_scale(rope), 1.3688879f * 1.3688879f);
  rope.scaling = static_cast<int>(RopeScaling::None);
  EXPECT_EQ(yarn_score_scale(rope), 1.0f);
}

TEST(Rope, LongRopeGrowsByItsFactorAlone) {
  RopeParams rope = scaled(RopeScaling::LongRope, 16);
  rope.attn_factor = 1.2f;
  const std::vector<float> factors = {1, 2, 3, 4, 5, 6, 7, 8};
  const RopeTable plain = rope_table(scaled(RopeScaling::None, 1)), table = rope_table(rope, factors.data());
  EXPECT_EQ(table.magnitude, 1.2f);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(table.inv_freq[i], plain.inv_freq[i] / factors[i]);
}

/// In a context as long as the model's own it changes nothing.
TEST(Rope, DynamicIsPlain) {
  EXPECT_EQ(rope_table(scaled(RopeScaling::Dynamic, 4)).inv_freq,
            rope_table(scaled(RopeScaling::None, 4)).inv_freq);
}

TEST(Rope, Llama3FactorsGoFromOneToTheWholeFactor) {
  const std::vector<float> factors = llama3_factors(scaled(RopeScaling::Llama3, 8));
  EXPECT_EQ(factors.front(), 1.0f);
  EXPECT_EQ(factors.back(), 8.0f);
  for (size_t i = 1; i < factors.size(); ++i) EXPECT_GE(factors[i], factors[i - 1]);
}

}  // namespace
}  // namespace sw
