// SPDX-License-Identifier: MIT
// Temperature, dynamic temperature and Mirostat against plain versions of themselves.
#include <gtest/gtest.h>

#include "unit/engine/sampler_support.h"

namespace sw {
namespace {

using testing::applied;
using testing::kept;
using testing::no_steps;
using testing::random_logits;
using testing::ranking;
using testing::softmax;
using Ids = std::vector<int32_t>;

const SamplerContext kContext{.n_vocab = 500, .n_ctx = 64};

double entropy_of(const std::vector<double>& probability) {
  double entropy = 0;
  for (const double p : probability) entropy -= p > 0 ? p * std::log(p) : 0;
  return entropy;
}

TEST(SamplerTemperature, Divides) {
  SamplerParams p = no_steps();
  p.temperature = 0.7f;
  const std::vector<float> logits = {1, -2, 3.5f};
  const std::vector<Candidate> got = applied(*make_temperature(p, kContext), logits);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(got[i].logit, logits[i] / 0.7f);
}

/// Quotients beyond a float used to be equal, so that any of their tokens could be drawn.
TEST(SamplerTemperature, NearZeroTheBestIsLeft) {
  SamplerParams p = no_steps();
  for (const float t : {1e-30f, 1e-38f, 1e-45f}) {
    p.temperature = t;
    for (const auto& logits : {std::vector<float>{7, 9, 8.5f}, {-9, -7, -8}, {1e38f, 3e38f, 2e38f}}) {
      Candidates c;
      c.assign(logits);
      make_temperature(p, kContext)->apply(c, {});
      c.softmax();
      EXPECT_EQ(c.items()[0].id, 1) << t;
      EXPECT_EQ(c.items()[0].p, 1.0f) << t;
    }
  }
}

TEST(SamplerTemperature, DynamicEqualsThePlainVersion) {
  Rng rng(2);
  for (const auto& [t, range, exponent] :
       {std::array{0.8f, 0.5f, 1.0f}, {1.0f, 2.0f, 0.7f}, {0.0f, 1.5f, 2.0f}}) {
    SamplerParams p = no_steps();
    p.temperature = t;
    p.dynatemp_range = range;
    p.dynatemp_exponent = exponent;
    const StepPointer step = make_temperature(p, kContext);
    for (const double spread : {0.1, 2.0, 8.0, 30.0}) {
      const std::vector<float> logits = random_logits(rng, 64, spread);
      const double share = entropy_of(softmax(logits)) / std::log(64.0);
      const double low = std::max(0.0f, t - range), high = t + range;
      const double expected = low + (high - low) * std::pow(share, exponent);
      const std::vector<Candidate> got = applied(*step, logits);
      ASSERT_EQ(got.size(), 64u);
      for (const Candidate& c : got) {
        const double want = logits[static_cast<size_t>(c.id)] / expected;
        EXPECT_NEAR(c.logit, want, 2e-5 * std::fabs(want) + 1e-6);
      }
    }
  }
}

TEST(SamplerTemperature, DynamicTakesTheBestWhereThereIsNoDoubt) {
  SamplerParams p = no_steps();
  p.temperature = 0.5f;
  p.dynatemp_range = 1;
  EXPECT_EQ(kept(*make_temperature(p, kContext), std::vector<float>{0, 200, 0}), (Ids{1}));
}

/// Version 1 as in the paper, in double precision.
size_t mirostat_k(const std::vector<float>& logits, double mu) {
  const std::vector<double> p = softmax(logits);
  const Ids order = ranking(logits);
  const auto nth = [&](size_t i) { return p[static_cast<size_t>(order[i])]; };
  double products = 0, squares = 0;
  for (size_t i = 0; i + 1 < std::min<size_t>(100, order.size()); ++i) {
    const double t = std::log((i + 2.0) / (i + 1.0));
    products += t * std::log(nth(i) / nth(i + 1));
    squares += t * t;
  }
  const double s = products / squares, e = s - 1, n = static_cast<double>(logits.size());
  const double k = std::pow(e * std::pow(2.0, mu) / (1 - std::pow(n, -e)), 1 / s);
  return std::max<size_t>(1, static_cast<size_t>(std::min(k, n)));
}

TEST(SamplerMirostat, KeepsWhatThePlainVersionsKeep) {
  Rng rng(4);
  for (const float tau : {1.0f, 2.5f, 4.0f}) {
    SamplerParams p = no_steps();
    p.mirostat_tau = tau;
    for (const double spread : {1.0, 3.0, 9.0}) {
      const std::vector<float> logits = random_logits(rng, 500, spread);
      p.mirostat = 1;
      EXPECT_EQ(kept(*make_mirostat(p, kContext), logits).size(), mirostat_k(logits, 2 * tau));
      p.mirostat = 2;
      Ids expected;
      const std::vector<double> probability = softmax(logits);
      for (size_t i = 0; i < logits.size(); ++i) {
        if (-std::log2(probability[i]) <= 2 * tau) expected.push_back(static_cast<int32_t>(i));
      }
      if (expected.empty()) expected = {ranking(logits).front()};
      EXPECT_EQ(kept(*make_mirostat(p, kContext), logits), expected);
    }
  }
}

TEST(SamplerMirostat, MuFollowsTheSurprise) {
  SamplerParams p = no_steps();
  p.mirostat = 2;
  p.mirostat_tau = 1;
  p.mirostat_eta = 0.5f;
  const StepPointer step = make_mirostat(p, kContext);
  // p = 1/2, 1/4, 1/8, 1/8: 1, 2, 3 and 3 bits.
  const std::vector<float> logits = {std::log(4.0f), std::log(2.0f), 0, 0};
  EXPECT_EQ(kept(*step, logits).size(), 2u) << "mu starts at 2 tau";
  step->drawn({.id = 0, .logit = 0, .p = 0.125f});  // mu = 2 - 0.5 (3 - 1) = 1
  EXPECT_EQ(kept(*step, logits).size(), 1u);
  for (int i = 0; i < 5; ++i) step->drawn({.id = 0, .logit = 0, .p = 1});  // + 0.5 each
  EXPECT_EQ(kept(*step, logits).size(), 4u);
}

TEST(SamplerMirostat, ReachesItsSurprise) {
  Rng rng(6);
  for (const int version : {1, 2}) {
    SamplerParams p = no_steps();
    p.mirostat = version;
    p.mirostat_tau = 3;
    const StepPointer step = make_mirostat(p, kContext);
    double bits = 0;
    constexpr int kTokens = 3000;
    for (int i = 0; i < kTokens; ++i) {
      Candidates c;
      c.assign(random_logits(rng, 500, 6));
      step->apply(c, {});
      c.softmax();
      double left = rng.uniform();
      const auto drawn = std::find_if(c.items().begin(), c.items().end() - 1,
                                      [&](const Candidate& item) { return (left -= item.p) < 0; });
      step->drawn(*drawn);
      bits -= std::log2(drawn->p);
    }
    EXPECT_NEAR(bits / kTokens, 3.0, 0.1) << version;
  }
}

}  // namespace
}  // namespace sw
