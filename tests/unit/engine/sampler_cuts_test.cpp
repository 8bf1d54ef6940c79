// SPDX-License-Identifier: MIT
// The steps that keep some candidates, against plain versions of themselves.
#include <gtest/gtest.h>

#include "unit/engine/sampler_support.h"

namespace sw {
namespace {

using testing::applied;
using testing::ids_of;
using testing::kept;
using testing::kInf;
using testing::no_steps;
using testing::random_logits;
using testing::ranking;
using testing::softmax;
using testing::until;
using Ids = std::vector<int32_t>;

const SamplerContext kContext{.n_vocab = 300, .n_ctx = 64};

/// Vocabularies of several sizes and spreads, one with ties.
template <class Body>
void on_many_logits(Body body) {
  Rng rng(11);
  for (const size_t n : {1, 2, 7, 50, 300}) {
    for (const double spread : {0.5, 4.0, 12.0}) {
      SCOPED_TRACE(::testing::Message() << n << " logits within " << spread);
      std::vector<float> logits = random_logits(rng, n, spread);
      body(logits);
      for (float& x : logits) x = std::round(x);
      body(logits);
    }
  }
}

TEST(SamplerCuts, CandidatesAreSortedByLogitThenId) {
  constexpr float kMax = std::numeric_limits<float>::max();
  Rng rng(7);
  for (const size_t n : {5, 300, 2048, 20000}) {
    std::vector<float> logits = random_logits(rng, n, 20);
    for (size_t i = 0; i < n; i += 3)
      logits[i] = std::round(logits[i]);  // ties, zeros of both signs among them
    const float special[] = {kMax, -kMax, 0.0f, -0.0f, 1e-45f};
    std::copy(std::begin(special), std::end(special), logits.begin());
    Candidates c;
    c.assign(logits);
    c.sort();
    EXPECT_EQ(ids_of(c.items()), ranking(logits)) << n;
    for (Candidate& item : c.items()) item.logit = logits[static_cast<size_t>(item.id)] = -item.logit;
    c.sort();
    EXPECT_EQ(ids_of(c.items()), ranking(logits)) << n << ", ids in no order";
  }
}

TEST(SamplerCuts, TopK) {
  for (const int k : {1, 3, 40, 1000}) {
    SamplerParams p = no_steps();
    p.top_k = k;
    on_many_logits([&](const std::vector<float>& logits) {
      Ids expected = ranking(logits);
      expected.resize(std::min(expected.size(), static_cast<size_t>(k)));
      std::sort(expected.begin(), expected.end());
      EXPECT_EQ(kept(*make_top_k(p, kContext), logits), expected);
    });
  }
}

TEST(SamplerCuts, TopP) {
  // No multiples of 1 / n: among equal logits the last bit would decide.
  for (const float top_p : {0.0f, 0.3117f, 0.9012f, 0.999f}) {
    SamplerParams p = no_steps();
    p.top_p = top_p;
    on_many_logits([&](const std::vector<float>& logits) {
      EXPECT_EQ(kept(*make_top_p(p, kContext), logits), until(ranking(logits), softmax(logits), top_p));
    });
  }
}

TEST(SamplerCuts, MinP) {
  for (const float min_p : {0.001f, 0.0512f, 0.5f, 1.0f}) {
    SamplerParams p = no_steps();
    p.min_p = min_p;
    on_many_logits([&](const std::vector<float>& logits) {
      const std::vector<double> probability = softmax(logits);
      const double best = *std::max_element(probability.begin(), probability.end());
      Ids expected;
      for (size_t i = 0; i < logits.size(); ++i) {
        if (probability[i] >= min_p * best) expected.push_back(static_cast<int32_t>(i));
      }
      EXPECT_EQ(kept(*make_min_p(p, kContext), logits), expected);
    });
  }
}

TEST(SamplerCuts, TopNSigma) {
  for (const float n_sigma : {0.01f, 1.03f, 2.5f, 100.0f}) {
    SamplerParams p = no_steps();
    p.top_n_sigma = n_sigma;
    on_many_logits([&](const std::vector<float>& logits) {
      const double n = static_cast<double>(logits.size());
      const double mean = std::accumulate(logits.begin(), logits.end(), 0.0) / n;
      double squares = 0;
      for (const float x : logits) squares += x * static_cast<double>(x);
      const double sigma = std::sqrt(std::max(0.0, squares / n - mean * mean));
      const float best = *std::max_element(logits.begin(), logits.end());
      Ids expected;
      for (size_t i = 0; i < logits.size(); ++i) {
        if (logits[i] >= best - n_sigma * sigma - 1e-12) expected.push_back(static_cast<int32_t>(i));
      }
      EXPECT_EQ(kept(*make_top_n_sigma(p, kContext), logits), expected);
    });
  }
}

TEST(SamplerCuts, Typical) {
  for (const float typical : {0.0f, 0.2f, 0.71f, 0.99f}) {
    SamplerParams p = no_steps();
    p.typical_p = typical;
    Rng rng(5);
    for (int i = 0; i < 20; ++i) {
      const std::vector<float> logits = random_logits(rng, 60, 4);
      const std::vector<double> probability = softmax(logits);
      double entropy = 0;
      for (const double x : probability) entropy -= x * std::log(x);
      std::vector<double> nearness;
      for (const double x : probability) nearness.push_back(-std::fabs(-std::log(x) - entropy));
      EXPECT_EQ(kept(*make_typ_p(p, kContext), logits), until(ranking(nearness), probability, typical));
    }
  }
}

TEST(SamplerCuts, TypicalMayLeaveOutTheBest) {
  // One likely token and many of equal, typical surprise.
  std::vector<float> logits(21, 0.0f);
  logits[20] = 2.0f;
  SamplerParams p = no_steps();
  p.typical_p = 0.5f;
  const Ids left = kept(*make_typ_p(p, kContext), logits);
  EXPECT_EQ(left, (Ids{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13})) << "ties: the lower ids";
}

TEST(SamplerCuts, Xtc) {
  // p = 0.4, 0.3, 0.2, 0.1, in another order of ids.
  const std::vector<float> logits = {std::log(0.2f), std::log(0.4f), std::log(0.1f), std::log(0.3f)};
  const auto left = [&](float threshold) {
    SamplerParams p = no_steps();
    p.xtc_probability = 1;
    p.xtc_threshold = threshold;
    return kept(*make_xtc(p, kContext), logits);
  };
  EXPECT_EQ(left(0.05f), (Ids{2})) << "the least probable of those above stays";
  EXPECT_EQ(left(0.15f), (Ids{0, 2}));
  EXPECT_EQ(left(0.25f), (Ids{0, 2, 3}));
  EXPECT_EQ(left(0.35f), (Ids{0, 1, 2, 3})) << "a single one stays";
  EXPECT_EQ(left(0.9f), (Ids{0, 1, 2, 3}));
}

TEST(SamplerCuts, XtcActsAsOftenAsAsked) {
  const std::vector<float> logits = {1, 1, 0};
  SamplerParams p = no_steps();
  p.xtc_probability = 0.3f;
  const StepPointer step = make_xtc(p, kContext);
  constexpr int kTimes = 100000;
  int acted = 0;
  for (int i = 0; i < kTimes; ++i) {
    acted += kept(*step, logits).size() < 3;
    step->accept(0, Origin::Generated);
  }
  // Five standard deviations.
  EXPECT_NEAR(acted, 0.3 * kTimes, 5 * std::sqrt(0.3 * 0.7 * kTimes));
}

TEST(SamplerCuts, LogitsOfAnySizeLeaveSomething) {
  constexpr float kMax = std::numeric_limits<float>::max();
  SamplerParams p = no_steps();
  p.top_k = 2;
  p.top_p = 0.5f;
  p.min_p = 0.5f;
  p.typical_p = 0.5f;
  p.top_n_sigma = 1;
  p.xtc_probability = 1;
  p.mirostat = 1;
  p.dynatemp_range = 1;
  for (const std::vector<float>& logits : {std::vector<float>{kMax, -kMax, 0},
                                           {-kMax, -kMax, -kMax},
                                           {kMax, kMax, kMax},
                                           {7},
                                           {-kInf, 1, -kInf}}) {
    for (const auto make : {make_top_k, make_top_p, make_min_p, make_typ_p, make_top_n_sigma, make_xtc,
                            make_temperature, make_mirostat}) {
      const StepPointer step = make(p, kContext);
      const std::vector<Candidate> left = applied(*step, logits);
      ASSERT_FALSE(left.empty()) << step->describe();
      for (const Candidate& c : left) EXPECT_TRUE(std::isfinite(c.logit)) << step->describe();
    }
  }
}

TEST(SamplerCuts, OffMeansNoStep) {
  const SamplerParams off = no_steps();
  for (const auto make : {make_top_k, make_top_p, make_min_p, make_typ_p, make_top_n_sigma, make_xtc,
                          make_dry, make_penalties, make_mirostat}) {
    EXPECT_EQ(make(off, kContext), nullptr);
  }
}

}  // namespace
}  // namespace sw
