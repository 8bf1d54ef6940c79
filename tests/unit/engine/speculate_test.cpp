// SPDX-License-Identifier: MIT
#include "engine/speculate.h"

#include <cmath>
#include <limits>

#include "unit/engine/engine_support.h"
#include "unit/engine/sampler_support.h"

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

constexpr size_t kVocab = 5, kLength = 3, kTexts = kVocab * kVocab * kVocab;

/// A model of two, the draft's and the full one: logits by the last token, -1 for none.
std::vector<float> logits_behind(int32_t token, bool full) {
  Rng rng(static_cast<uint64_t>(2 * (token + 1) + full) + 40);
  return testing::random_logits(rng, kVocab, 2.5);
}

/// How probable each text of three tokens is without drafts: by the candidates of a sampler that goes along.
/// `lots`: what XTC may decide, and how often; the tokens of a text each have their own.
std::vector<double> text_probabilities(const std::vector<std::pair<double, SamplerParams>>& lots) {
  std::vector<double> all(kTexts);
  for (size_t text = 0; text < kTexts; ++text) {
    const int32_t ids[] = {static_cast<int32_t>(text / kVocab / kVocab),
                           static_cast<int32_t>(text / kVocab % kVocab), static_cast<int32_t>(text % kVocab)};
    double p_text = 1;
    for (size_t i = 0; i < kLength; ++i) {
      double p = 0;
      for (const auto& [share, params] : lots) {
        Sampler sampler(params, {kVocab, kLength});
        for (size_t k = 0; k <= i; ++k) {
          const auto& items = sampler.weigh(logits_behind(k == 0 ? -1 : ids[k - 1], true)).items();
          const auto at =
              std::find_if(items.begin(), items.end(), [&](const Candidate& c) { return c.id == ids[k]; });
          if (at == items.end()) {
            sampler.accept(ids[k], Origin::Generated);  // not drawn where XTC cuts, but where it does not
          } else {
            if (k == i) p += share * at->p;
            sampler.take(*at);
          }
        }
      }
      p_text *= p;
    }
    all[text] = p_text;
  }
  return all;
}

/// Three tokens with drafts of two, and which text of all they are.
size_t drafted_text(Sampler& sampler, Speculation& speculation) {
  std::vector<int32_t> text;
  const auto last = [&] { return text.empty() ? -1 : text.back(); };
  while (text.size() < kLength) {
    for (int i = 0; i < 2; ++i)
      speculation.add(sampler, logits_behind(i == 0 ? last() : speculation.drafts().back(), false));
    speculation.begin_check(sampler, 2);
    do {
      text.push_back(speculation.choose(sampler, logits_behind(last(), true)));
    } while (!speculation.drafts().empty());
  }
  return (static_cast<size_t>(text[0]) * kVocab + static_cast<size_t>(text[1])) * kVocab +
         static_cast<size_t>(text[2]);
}

/// Draws texts with drafts and compares with the exact probabilities.
void expect_exact(const SamplerParams& params, const std::vector<std::pair<double, SamplerParams>>& lots) {
  constexpr uint64_t kTrials = 60000;
  const std::vector<double> expected = text_probabilities(lots);
  EXPECT_NEAR(std::accumulate(expected.begin(), expected.end(), 0.0), 1, 1e-5);
  PolicyTable policies({{.layer = 0, .router = {.n_expert = 4, .n_expert_used = 2}}}, 1, 2, 8);
  Speculation speculation({.n_expert = 1, .n_token = 2}, {}, policies, kVocab);
  std::vector<double> count(kTexts);
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    SamplerParams seeded = params;
    seeded.seed = trial;
    Sampler sampler(seeded, {kVocab, 16});
    ++count[drafted_text(sampler, speculation)];
  }
  double statistic = 0, n_cell = 0, rest = 0, rest_count = 0;
  for (size_t text = 0; text < kTexts; ++text) {
    const double want = expected[text] * kTrials;
    if (want == 0) {
      EXPECT_EQ(count[text], 0) << "text " << text << " is cut";
    }
    if (want < 5) {  // too few for the statistic: all of them together
      rest += want;
      rest_count += count[text];
      continue;
    }
    statistic += (count[text] - want) * (count[text] - want) / want;
    ++n_cell;
  }
  EXPECT_GT(n_cell, 15);
  EXPECT_LT(statistic, chi_square_limit(n_cell - 1));
  EXPECT_NEAR(rest_count, rest, 7 * std::sqrt(rest + 1));
  EXPECT_GT(speculation.counts().n_accepted, speculation.counts().n_drafted / 8);
  EXPECT_LT(speculation.counts().n_accepted, speculation.counts().n_drafted);
}

TEST(Speculation, MirostatIsDistributedAsTheFullModel) {
  for (const int version : {1, 2}) {
    SCOPED_TRACE(version);
    SamplerParams params = plain_sampler(0);
    params.mirostat = version;
    params.mirostat_tau = 1.6f;
    params.mirostat_eta = 0.9f;  // one token changes what the next may be
    expect_exact(params, {{1, params}});
  }
}

TEST(Speculation, XtcIsDistributedAsTheFullModel) {
  SamplerParams params = plain_sampler(0), always = params, never = params;
  params.xtc_threshold = always.xtc_threshold = 0.15f;
  params.xtc_probability = 0.4f;
  always.xtc_probability = 1;
  expect_exact(params, {{0.4, always}, {0.6, never}});
}

TEST(Speculation, PenaltiesAreDistributedAsTheFullModel) {
  SamplerParams params = plain_sampler(0);
  params.frequency_penalty = 1.5f;
  expect_exact(params, {{1, params}});
}

TEST_F(SpeculateTest, DraftsOfTheWholeModelAllStay) {
  std::vector<SamplerParams> all(3, plain_sampler(3));
  all[0].mirostat = 1;
  all[1].mirostat = 2;
  all[0].mirostat_tau = all[1].mirostat_tau = 3;
  all[2].xtc_probability = 0.5f;
  all[2].xtc_threshold = 0.01f;
  for (const SamplerParams& params : all) {
    SCOPED_TRACE(describe_sampler(params));
    Engine engine(*model_, {.forward = {.invariant = true}});
    SequenceRequest request = greedy(text(10), 60);
    request.sampler = params;
    request.draft = {.n_expert = 4, .n_token = 5};  // the model's own number: p and q are equal to the bit
    engine.submit(request);
    run(engine);
    EXPECT_GT(engine.draft_counts().n_drafted, 40);
    EXPECT_EQ(engine.draft_counts().n_accepted, engine.draft_counts().n_drafted);
  }
}

TEST_F(SpeculateTest, StepsWithStateFollowTheirOwnText) {
  constexpr size_t kSequences = 6;
  Engine engine(*model_, {.forward = {.n_ubatch = 9, .n_logit_row = 2},
                          .n_ctx = 256,
                          .n_parallel = kSequences,
                          .n_cache_token = 5 * 64});
  std::vector<testing::SeenText> seen(kSequences, testing::SeenText(300));
  std::vector<std::vector<int32_t>> texts;
  std::map<SequenceId, size_t> index;
  for (size_t i = 0; i < kSequences; ++i) {
    SequenceRequest request{.prompt = text(8 + 5 * static_cast<int>(i)), .n_predict = 180};
    request.sampler = plain_sampler(i);
    request.sampler.extra_steps = {testing::alternating(seen[i])};
    if (i % 3 != 2) request.draft = {.n_expert = 1, .n_token = 2 + static_cast<int>(i)};
    texts.push_back(request.prompt);
    index[engine.submit(request)] = i;
  }
  while (!engine.idle()) {
    engine.step(nullptr, [&](const StepEvent& event, std::span<const float>) {
      const size_t i = index[event.sequence];
      EXPECT_EQ(event.token % 2, static_cast<int32_t>(texts[i].size() % 2));
      texts[i].push_back(event.token);
      EXPECT_EQ(seen[i].tokens, texts[i]) << "no draft, nothing of another sequence";
    });
  }
  EXPECT_GT(engine.scheduler().n_preempted(), 0);
  for (size_t i = 0; i < kSequences; ++i) {
    EXPECT_EQ(texts[i].size(), 8 + 5 * i + 180);
    EXPECT_EQ(seen[i].n_prompt, 8 + 5 * i);
    EXPECT_EQ(seen[i].n_drawn, 180 + seen[i].n_rolled_back);
    EXPECT_EQ(seen[i].n_rolled_back > 100, i % 3 != 2);
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

TEST_F(SpeculateTest, RefusesWhatDoesNotFit) {
  Engine engine(*model_, {.forward = {.n_ubatch = 8}, .n_ctx = 64});
  const auto refused = [&](auto&& change) {
    SequenceRequest request = greedy(text(5), 4);
    request.sampler = plain_sampler(1);
    request.draft = {.n_expert = 1, .n_token = 3};
    change(request);
    EXPECT_THROW(engine.submit(request), Error);
  };
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
