// SPDX-License-Identifier: MIT
#include "engine/speculate.h"

#include <cmath>
#include <limits>

#include "unit/engine/engine_support.h"

namespace sw {
namespace {

using SpeculateTest = EngineTest;

/// Far above what chance gives: the mean of the statistic and seven of its standard deviations.
double chi_square_limit(double freedom) { return freedom + 7 * std::sqrt(2 * freedom); }

SamplerParams plain_sampler(uint64_t seed) {
  SamplerParams params{.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0};
  params.seed = seed;
  return params;
}

TEST(Speculation, DraftsThatStayOrNotAreDistributedAsTheFullModel) {
  constexpr int kVocab = 6, kTrials = 200000;
  const std::vector<float> draft_logits = {1.0f, 0.2f, -3.0f, 0.5f, 0.0f, 2.0f},
                           full_logits = {0.3f, 1.4f, -0.5f, 0.6f, -2.0f, 1.0f};
  PolicyTable policies({{.layer = 0, .router = {.n_expert = 4, .n_expert_used = 2}}}, 1, 2, 8);
  for (const int top_k : {0, 3}) {  // the three best of each are not the same
    SamplerParams params = plain_sampler(5);
    params.top_k = top_k;
    Sampler sampler(params, {kVocab, 16});
    std::vector<double> p(kVocab);
    for (const Candidate& c : sampler.weigh(full_logits).items()) p[static_cast<size_t>(c.id)] = c.p;
    Speculation speculation({.n_expert = 1, .n_token = 1}, {}, policies, kVocab);
    std::vector<int> count(kVocab);
    for (int i = 0; i < kTrials; ++i) {
      speculation.add(sampler, draft_logits);
      speculation.begin_check(sampler, 1);
      ++count[static_cast<size_t>(speculation.choose(sampler, full_logits))];
      if (!speculation.drafts().empty()) speculation.choose(sampler, full_logits);
    }
    double statistic = 0;
    for (size_t id = 0; id < kVocab; ++id) {
      const double expected = p[id] * kTrials;
      if (expected == 0) {
        EXPECT_EQ(count[id], 0) << "what the samplers cut is never chosen";
      } else {
        statistic += (count[id] - expected) * (count[id] - expected) / expected;
      }
    }
    EXPECT_LT(statistic, chi_square_limit((top_k == 0 ? kVocab : top_k) - 1));
    EXPECT_EQ(speculation.counts().n_drafted, kTrials);
    EXPECT_GT(speculation.counts().n_accepted, kTrials / 3);
    EXPECT_LT(speculation.counts().n_accepted, kTrials);
  }
}

TEST_F(SpeculateTest, AtTemperatureZeroTheTextIsTheSame) {
  SequenceRequest request = greedy(text(30), 80);
  request.sampler.repeat_penalty = 1.3f;  // looks at the text, drafts included while they are checked
  const Answer expected = answer_alone(*model_, request, 512);
  for (const int n_expert : {1, 2, 4}) {
    for (const int n_token : {1, 3, 8}) {
      SCOPED_TRACE(::testing::Message() << n_expert << " experts, " << n_token << " tokens");
      Engine engine(*model_, {.forward = {.invariant = true}});
      request.draft = {.n_expert = n_expert, .n_token = n_token};
      const SequenceId id = engine.submit(request);
      Answers got;
      while (!engine.idle()) step_into(engine, got);
      got[id].expect_is(expected);
      const DraftCounts& counts = engine.draft_counts();
      EXPECT_GT(counts.n_drafted, 30);
      if (n_expert == 4) {
        EXPECT_EQ(counts.n_accepted, counts.n_drafted) << "the model's own number";
      } else if (n_expert == 1) {
        EXPECT_LT(counts.n_accepted, counts.n_drafted);
      }
    }
  }
}

TEST_F(SpeculateTest, DraftsBesideOthersAndPreemptionSpoilNothing) {
  Engine engine(*model_, {.forward = {.n_ubatch = 9, .n_logit_row = 2, .invariant = true},
                          .n_ctx = 256,
                          .n_parallel = 6,
                          .n_cache_token = 5 * 64});
  std::map<SequenceId, SequenceRequest> requests;
  for (int i = 0; i < 6; ++i) {
    SequenceRequest request = greedy(text(8 + 5 * i), 180 + i);
    if (i % 3 != 2) request.draft = {.n_expert = 1 + i % 2, .n_token = 2 + i};
    if (i == 3) request.end_ids = {alone(request)[20]};
    requests[engine.submit(request)] = request;
  }
  Answers got;
  while (!engine.idle()) step_into(engine, got);
  EXPECT_GT(engine.scheduler().n_preempted(), 0);
  for (const auto& [id, request] : requests) {
    SCOPED_TRACE(id);
    got[id].expect_is(answer_alone(*model_, request, 256));
  }
  EXPECT_EQ(engine.cache().n_free_pages(), 5);
}

TEST_F(SpeculateTest, AtTemperatureOneTheDistributionIsTheSame) {
  constexpr int kRuns = 4000, kTokens = 4, kLength = 3;
  SequenceRequest request = greedy(text(5), kLength);
  request.sampler = plain_sampler(0);
  request.sampler.presence_penalty = 0.7f;
  for (int32_t id = kTokens; id < model_->hparams().n_vocab; ++id)
    request.sampler.logit_bias.push_back({id, -std::numeric_limits<float>::infinity()});
  Engine engine(*model_, {.n_ctx = 32});
  std::vector<std::vector<double>> counts(2, std::vector<double>(64));  // of each text of three tokens
  for (size_t drafts = 0; drafts < 2; ++drafts) {
    if (drafts == 1) request.draft = {.n_expert = 1, .n_token = 2};
    for (uint64_t i = 0; i < kRuns; ++i) {
      request.sampler.seed = 2 * i + drafts;
      const SequenceId id = engine.submit(request);
      size_t cell = 0;
      const std::vector<int32_t> tokens = run(engine)[id];
      for (const int32_t token : tokens) cell = cell * kTokens + static_cast<size_t>(token);
      ++counts[drafts][cell];
    }
  }
  double statistic = 0, n_cell = 0;
  for (size_t cell = 0; cell < 64; ++cell) {
    const double a = counts[0][cell], b = counts[1][cell];
    if (a + b == 0) continue;
    statistic += (a - b) * (a - b) / (a + b);
    ++n_cell;
  }
  EXPECT_GT(n_cell, 20);
  EXPECT_LT(statistic, chi_square_limit(n_cell - 1));
  EXPECT_LT(engine.draft_counts().n_accepted, engine.draft_counts().n_drafted);
}

TEST_F(SpeculateTest, RefusesWhatItCannotKeepExact) {
  Engine engine(*model_, {.forward = {.n_ubatch = 8}, .n_ctx = 64});
  const auto refused = [&](auto&& change) {
    SequenceRequest request = greedy(text(5), 4);
    request.sampler = plain_sampler(1);
    request.draft = {.n_expert = 1, .n_token = 3};
    change(request);
    EXPECT_THROW(engine.submit(request), Error);
  };
  refused([](SequenceRequest& r) { r.sampler.mirostat = 2; });
  refused([](SequenceRequest& r) { r.sampler.xtc_probability = 0.5f; });
  refused([](SequenceRequest& r) { r.draft->n_token = 0; });
  refused([](SequenceRequest& r) { r.draft->n_token = 8; });
  refused([](SequenceRequest& r) { r.draft->n_expert = 0; });
  refused([](SequenceRequest& r) { r.draft->n_expert = 9; });
  EXPECT_TRUE(engine.idle());
}

using SpeculateWindow = testing::TinyGptOss;

TEST_F(SpeculateWindow, ACheckSeesWhatItsFirstTokenSees) {
  std::vector<std::vector<int32_t>> answers;
  for (const bool drafts : {false, true}) {
    Engine engine(*model_, {.forward = {.n_ubatch = 64}, .n_ctx = 512});
    SequenceRequest request{.prompt = text(9), .n_predict = 400};
    request.sampler.temperature = 0;
    if (drafts) request.draft = {.n_expert = 1, .n_token = 40};  // far enough for a page to leave the window
    answers.emplace_back();
    n_computed(engine, request, &answers.back());
  }
  EXPECT_EQ(answers[0], answers[1]);
}

}  // namespace
}  // namespace sw
