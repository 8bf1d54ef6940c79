// SPDX-License-Identifier: MIT
// Penalties and DRY against plain versions of themselves.
#include <gtest/gtest.h>
#include <map>

#include "unit/engine/sampler_support.h"

namespace sw {
namespace {

using testing::applied;
using testing::no_steps;
using testing::random_logits;
using Ids = std::vector<int32_t>;

constexpr size_t kVocab = 40;
const SamplerContext kContext{.n_vocab = kVocab, .n_ctx = 20000};

Ids random_text(Rng& rng, size_t n, uint64_t n_kind) {
  Ids text(n);
  for (int32_t& id : text) id = static_cast<int32_t>(rng.below(n_kind));
  return text;
}

/// The logits after a step, all tokens of the vocabulary still there.
std::vector<float> changed(SamplerStep& step, const std::vector<float>& logits, const Ids& tokens) {
  std::vector<float> out;
  for (const Candidate& c : applied(step, logits, tokens)) out.push_back(c.logit);
  EXPECT_EQ(out.size(), logits.size());
  return out;
}

TEST(SamplerPenalties, EqualThePlainVersion) {
  Rng rng(3);
  for (const int last_n : {1, 16, 64, -1}) {
    SamplerParams p = no_steps();
    p.penalty_last_n = last_n;
    p.repeat_penalty = 1.3f;
    p.presence_penalty = 0.4f;
    p.frequency_penalty = -0.25f;
    const StepPointer step = make_penalties(p, kContext);
    for (const size_t n_text : {0, 1, 15, 300}) {
      const Ids text = random_text(rng, n_text, 30);
      const std::vector<float> logits = random_logits(rng, kVocab, 5);
      std::map<int32_t, int> seen;
      for (size_t i = 0; i < n_text; ++i) {
        if (last_n < 0 || n_text - i <= static_cast<size_t>(last_n)) ++seen[text[i]];
      }
      const std::vector<float> got = changed(*step, logits, text);
      for (size_t id = 0; id < kVocab; ++id) {
        double expected = logits[id];
        if (const auto count = seen.find(static_cast<int32_t>(id)); count != seen.end()) {
          expected = expected > 0 ? expected / 1.3 : expected * 1.3;
          expected -= count->second * -0.25 + 0.4;
        }
        EXPECT_NEAR(got[id], expected, 1e-4) << id;
      }
    }
  }
}

TEST(SamplerPenalties, StayFinite) {
  SamplerParams p = no_steps();
  p.repeat_penalty = 0.01f;
  p.presence_penalty = std::numeric_limits<float>::max();
  p.frequency_penalty = -std::numeric_limits<float>::max();
  std::vector<float> logits(kVocab, std::numeric_limits<float>::max());
  logits[1] = -logits[1];
  for (const float x : changed(*make_penalties(p, kContext), logits, {0, 1, 1}))
    EXPECT_TRUE(std::isfinite(x));
}

/// DRY as its definition says: for each token, the longest end of the text, free of breakers, that stood
/// before that token earlier in the text.
std::vector<double> dry_penalties(const SamplerParams& p, const Ids& tokens) {
  const auto is_breaker = [&](int32_t id) {
    const Ids& b = p.dry_breakers.tokens;
    return std::find(b.begin(), b.end(), id) != b.end();
  };
  const auto last = p.dry_last_n < 0 ? static_cast<std::ptrdiff_t>(tokens.size()) : p.dry_last_n;
  const Ids text(tokens.end() - std::min<std::ptrdiff_t>(last, static_cast<std::ptrdiff_t>(tokens.size())),
                 tokens.end());
  std::vector<double> penalties(kVocab);
  for (size_t at = 1; at < text.size(); ++at) {  // text[at] followed ...
    size_t n = 0;                                // ... n tokens that also end the text
    while (n < at && text[at - 1 - n] == text[text.size() - 1 - n] && !is_breaker(text[at - 1 - n])) ++n;
    if (static_cast<int>(n) < p.dry_allowed_length || is_breaker(text[at])) continue;
    double& penalty = penalties[static_cast<size_t>(text[at])];
    penalty = std::max(
        penalty, p.dry_multiplier * std::pow(p.dry_base, static_cast<double>(n) - p.dry_allowed_length));
  }
  return penalties;
}

TEST(SamplerDry, EqualsThePlainVersion) {
  Rng rng(8);
  int n_penalised = 0;
  for (const int last_n : {5, 40, -1}) {
    for (const int allowed : {1, 2, 4}) {
      SamplerParams p = no_steps();
      p.dry_multiplier = 0.8f;
      p.dry_last_n = last_n;
      p.dry_allowed_length = allowed;
      p.dry_breakers.tokens = {4};
      const StepPointer step = make_dry(p, kContext);
      for (int i = 0; i < 100; ++i) {
        const Ids text = random_text(rng, rng.below(80), 2 + rng.below(4));
        const std::vector<float> logits = random_logits(rng, kVocab, 5);
        const std::vector<double> expected = dry_penalties(p, text);
        const std::vector<float> got = changed(*step, logits, text);
        for (size_t id = 0; id < kVocab; ++id) {
          EXPECT_NEAR(got[id], logits[id] - expected[id], 1e-5 * (1 + expected[id])) << id;
          n_penalised += expected[id] > 0;
        }
      }
    }
  }
  EXPECT_GT(n_penalised, 500);
}

TEST(SamplerDry, BreakersOfSeveralTokens) {
  SamplerParams p = no_steps();
  p.dry_multiplier = 1;
  const std::vector<float> logits(kVocab, 0.0f);
  const Ids text = {1, 2, 3, 4, 9, 1, 2, 3};  // 1 2 3 was there, 4 followed
  EXPECT_FLOAT_EQ(changed(*make_dry(p, kContext), logits, text)[4], -1.75f);
  p.dry_breakers.sequences = {{7, 1}, {2, 8}, {}};
  EXPECT_FLOAT_EQ(changed(*make_dry(p, kContext), logits, text)[4], -1.75f) << "neither is in the text";
  p.dry_breakers.sequences = {{9, 1}};
  EXPECT_FLOAT_EQ(changed(*make_dry(p, kContext), logits, text)[4], -1.0f) << "2 3 alone counts";
  p.dry_breakers.sequences = {{9, 1}, {1, 2}};
  EXPECT_FLOAT_EQ(changed(*make_dry(p, kContext), logits, text)[4], 0.0f);
}

TEST(SamplerDry, LongRepetitionsCostLinearTimeAndStayFinite) {
  SamplerParams p = no_steps();
  p.dry_multiplier = 1;
  const StepPointer step = make_dry(p, kContext);
  const Ids text(20000, 7);
  for (int i = 0; i < 100; ++i) {
    const std::vector<float> got = changed(*step, std::vector<float>(kVocab, 0.0f), text);
    ASSERT_EQ(got[7], -std::numeric_limits<float>::max());
    ASSERT_EQ(got[8], 0.0f);
  }
}

}  // namespace
}  // namespace sw
