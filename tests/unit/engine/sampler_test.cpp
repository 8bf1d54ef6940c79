// SPDX-License-Identifier: MIT
// The chain: order, draws, determinism, refusals.
#include "engine/sampler/sampler.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/engine/sampler_support.h"

namespace sw {
namespace {

using testing::kInf;
using testing::no_steps;
using testing::softmax;
using Ids = std::vector<int32_t>;

/// Chi-square of 100,000 draws against the expected probabilities; what is expected never must never come.
double chi_square(const SamplerParams& p, const std::vector<float>& logits,
                  const std::vector<double>& expected) {
  constexpr int kDraws = 100000;
  std::vector<int> counts(logits.size());
  Sampler sampler(p, {logits.size(), 0});
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.sample(logits))];
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(counts[i], 0) << i;
    } else {
      const double want = expected[i] * kDraws;
      sum += (counts[i] - want) * (counts[i] - want) / want;
    }
  }
  return sum;
}

// 7 degrees of freedom at most: a larger value comes once in 10,000 seeds.
constexpr double kChiSquareLimit = 29.9;
const std::vector<float> kEight = {0.3f, -1.2f, 2.0f, 0.0f, 1.1f, -0.4f, 0.9f, -2.5f};

std::vector<double> normalised(std::vector<double> p) {
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

TEST(Sampler, DrawsFollowTheSoftmax) {
  for (const uint64_t seed : {0ull, 1ull, ~0ull}) {
    SamplerParams p = no_steps();
    p.seed = seed;
    EXPECT_LT(chi_square(p, kEight, softmax(kEight)), kChiSquareLimit) << seed;
  }
}

TEST(Sampler, DrawsFollowTemperatureBiasAndCuts) {
  SamplerParams p = no_steps();
  p.temperature = 0.6f;
  std::vector<float> logits = kEight;
  for (float& x : logits) x /= 0.6f;
  EXPECT_LT(chi_square(p, kEight, softmax(logits)), kChiSquareLimit);

  p = no_steps();
  p.logit_bias = {{7, 3.0f}, {2, -kInf}, {7, 0.5f}, {0, -1.0f}};
  logits = kEight;
  logits[7] += 3.5f;
  logits[0] -= 1.0f;
  logits[2] = -kInf;
  EXPECT_LT(chi_square(p, kEight, softmax(logits)), kChiSquareLimit);

  p = no_steps();
  p.top_k = 3;
  EXPECT_LT(chi_square(p, kEight, softmax(std::vector{-kInf, -kInf, 2.0f, -kInf, 1.1f, -kInf, 0.9f, -kInf})),
            kChiSquareLimit);
}

TEST(Sampler, DrawsFollowXtc) {
  SamplerParams p = no_steps();
  p.xtc_probability = 0.4f;
  p.xtc_threshold = 0.12f;  // tokens 2, 4 and 6 are above
  const std::vector<double> all = softmax(kEight);
  std::vector<double> cut = all;
  cut[2] = cut[4] = 0;
  cut = normalised(cut);
  std::vector<double> expected;
  for (size_t i = 0; i < all.size(); ++i) expected.push_back(0.6 * all[i] + 0.4 * cut[i]);
  EXPECT_LT(chi_square(p, kEight, expected), kChiSquareLimit);
}

TEST(Sampler, GreedyTakesTheBestAndTheLowerOfEquals) {
  SamplerParams p;
  p.temperature = 0;
  p.xtc_probability = 1;
  Sampler sampler(p, {4, 8});
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 2}), 1);
  p.logit_bias = {{1, -kInf}, {3, 2.0f}};
  EXPECT_EQ(Sampler(p, {4, 8}).sample(std::vector<float>{1, 3, 3, 2}), 3);
}

TEST(Sampler, GreedyHeedsPenaltiesOnPromptAndAnswer) {
  SamplerParams p;
  p.temperature = 0;
  p.presence_penalty = 1.5f;
  Sampler sampler(p, {4, 8});
  sampler.accept(0, Origin::Prompt);
  const std::vector<float> logits = {3, 2, 1, 0};
  EXPECT_EQ(sampler.sample(logits), 1) << "0 was in the prompt";
  EXPECT_EQ(sampler.sample(logits), 0) << "1.5 is the best of 1.5, 0.5, 1, 0";
  p.penalty_last_n = 1;
  Sampler forgetful(p, {4, 8});
  EXPECT_EQ(forgetful.sample(logits), 0);
  EXPECT_EQ(forgetful.sample(logits), 1);
  EXPECT_EQ(forgetful.sample(logits), 0);
}

TEST(Sampler, TheOrderDecides) {
  // Hot first, all tokens are nearly alike and min-p keeps them; cold first, it keeps one.
  const std::vector<float> logits = {4, 1, 0, 0.5f};
  SamplerParams p = no_steps();
  p.temperature = 100;
  p.min_p = 0.5f;
  const auto kinds = [&](const char* order) {
    p.order = parse_sampler_order(order);
    Sampler sampler(p, {4, 0});
    std::vector<bool> seen(4);
    for (int i = 0; i < 1000; ++i) seen[static_cast<size_t>(sampler.sample(logits))] = true;
    return std::count(seen.begin(), seen.end(), true);
  };
  EXPECT_EQ(kinds("min_p;temperature"), 1);
  EXPECT_EQ(kinds("temperature;min_p"), 4);
  EXPECT_EQ(kinds("temperature"), 4);
  p.min_p = 0.99f;
  EXPECT_EQ(kinds("min-p;temp"), 1);
}

TEST(Sampler, OrdersAreReadAndRefused) {
  EXPECT_EQ(parse_sampler_order("penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature"),
            default_sampler_order());
  EXPECT_EQ(parse_sampler_order("typical;top-k"), (std::vector{SamplerKind::TypP, SamplerKind::TopK}));
  EXPECT_TRUE(parse_sampler_order("").empty());
  for (const char* bad : {"top_q", "top_k;;top_p", ";", "top_k;top-k", "top_k top_p"}) {
    try {
      parse_sampler_order(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.parts().where, "--samplers") << bad;
    }
  }
}

TEST(Sampler, DescribesWhatActs) {
  SamplerParams p;
  p.seed = 7;
  EXPECT_EQ(describe_sampler(p), "top_k 40; top_p 0.95; min_p 0.05; temperature 0.8; seed 7");
  p.order = parse_sampler_order("temperature;min_p");
  p.logit_bias = {{3, 1.0f}};
  EXPECT_EQ(describe_sampler(p), "logit_bias (1 tokens); temperature 0.8; min_p 0.05; seed 7");
  p = {};
  p.temperature = 0;
  p.repeat_penalty = 1.1f;
  EXPECT_EQ(describe_sampler(p), "penalties (repeat 1.1, presence 0, frequency 0, last 64); greedy");
  p = {};
  p.mirostat = 2;
  p.dry_multiplier = 0.8f;
  EXPECT_EQ(describe_sampler(p),
            "dry (multiplier 0.8, base 1.75, allowed 2, last -1); temperature 0.8; "
            "mirostat 2 (tau 5, eta 0.1); seed 0");
}

TEST(Sampler, RefusesByTheFlagsName) {
  int n = 0;
  for (const SamplerSetting& setting : sampler_settings()) {
    for (const double bad : {setting.low - 1, setting.high + 1, static_cast<double>(NAN)}) {
      SamplerParams p;
      if (const auto* field = std::get_if<float SamplerParams::*>(&setting.field)) {
        p.** field = static_cast<float>(bad);
        if (p.**field >= setting.low && p.**field <= setting.high) continue;  // FLT_MAX + 1
      } else if (bad == bad && std::fabs(bad) < 1e9) {
        p.*std::get<int SamplerParams::*>(setting.field) = static_cast<int>(bad);
      } else {
        continue;
      }
      try {
        Sampler sampler(p, {8, 8});
        ADD_FAILURE() << setting.flag << " " << bad;
      } catch (const Error& e) {
        EXPECT_EQ(e.parts().where, setting.flag);
        ++n;
      }
    }
  }
  EXPECT_GT(n, 30);
  for (const LogitBias bias : {LogitBias{8, 1.0f}, {-1, 1.0f}, {0, NAN}}) {
    SamplerParams p;
    p.logit_bias = {bias};
    EXPECT_THROW(Sampler(p, {8, 8}), Error) << bias.id;
  }
}

TEST(Sampler, RefusesLogitsThatAreNoNumbersAndEmptyChoices) {
  for (const float temperature : {0.0f, 0.8f}) {
    SamplerParams p;
    p.temperature = temperature;
    Sampler sampler(p, {3, 8});
    EXPECT_THROW(sampler.sample(std::vector<float>{1, NAN, 2}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{1, kInf, 2}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{-kInf, -kInf, -kInf}), Error);
    EXPECT_EQ(sampler.sample(std::vector<float>{-kInf, -5, -kInf}), 1);
    p.logit_bias = {{0, -kInf}, {1, -kInf}, {2, -kInf}};
    EXPECT_THROW(Sampler(p, {3, 8}).sample(std::vector<float>{1, 2, 3}), Error);
    p.logit_bias = {{2, kInf}};
    EXPECT_EQ(Sampler(p, {3, 8}).sample(std::vector<float>{900, 2, -900}), 2);
    p.logit_bias = {};
    EXPECT_THROW(Sampler(p, {0, 8}).sample({}), Error);
  }
}

}  // namespace
}  // namespace sw
