// SPDX-License-Identifier: MIT
// Masks, ends, and state that follows the text.
#include <cstring>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/sampler/sampler.h"
#include "unit/engine/sampler_support.h"

namespace sw {
namespace {

using testing::Alternating;
using testing::alternating;
using testing::ids_of;
using testing::kInf;
using testing::no_steps;
using testing::random_logits;
using testing::SeenText;
using Ids = std::vector<int32_t>;

TEST(TokenMask, KeepsOneBitPerToken) {
  constexpr int32_t kVocab = 130;  // two words and two bits
  const auto allowed = [](const TokenMask& mask) {
    Ids ids;
    for (int32_t id = 0; id < kVocab; ++id) {
      if (mask.allows(id)) ids.push_back(id);
    }
    return ids;
  };
  TokenMask mask(kVocab);
  EXPECT_EQ(allowed(mask).size(), 130u);
  mask.forbid_all();
  EXPECT_EQ(allowed(mask), Ids{});
  for (const int32_t id : {0, 63, 64, 127, 128, 129}) mask.allow(id);
  mask.forbid(64);
  EXPECT_EQ(allowed(mask), (Ids{0, 63, 127, 128, 129}));
  TokenMask other(kVocab);
  for (const int32_t id : {63, 129}) other.forbid(id);
  other.intersect(mask);
  EXPECT_EQ(allowed(other), (Ids{0, 127, 128}));
  mask.allow_all();
  EXPECT_EQ(allowed(mask).size(), 130u);
}

TEST(Candidates, AreTheTokensThatTheMaskAllows) {
  Rng rng(3);
  std::vector<float> logits = random_logits(rng, 200, 5);
  logits[64] = -kInf;
  TokenMask mask(200);
  Ids expected;
  for (int32_t id = 0; id < 200; ++id) {
    if (id % 3 == 0) {
      mask.forbid(id);
    } else if (id != 64) {
      expected.push_back(id);
    }
  }
  Candidates c;
  c.assign(logits, &mask);
  EXPECT_EQ(ids_of(c.items()), expected);
  for (const Candidate& item : c.items()) EXPECT_EQ(item.logit, logits[static_cast<size_t>(item.id)]);
  logits[99] = NAN;
  EXPECT_THROW(c.assign(logits, &mask), Error) << "forbidden, but the model is damaged";
}

TEST(History, GoesBackOverTheEndOfItsRing) {
  History<int> value(-1);
  value.rollback(0);
  for (int i = 0; i < 200; ++i) {
    value.advance();
    value.set(i);
  }
  value.rollback(3);
  EXPECT_EQ(value.now(), 196);
  value.rollback(kMaxRollback - 3);
  EXPECT_EQ(value.now(), 199 - static_cast<int>(kMaxRollback));
  value.advance();
  value.set(7);
  value.advance();
  value.rollback(1);
  EXPECT_EQ(value.now(), 7) << "a token that changed nothing";
  EXPECT_DEATH(value.rollback(2), "n_kept_") << "older values are not kept";
}

TEST(SamplerState, AStepSeesPromptDrawsAndRollbacks) {
  Rng rng(5);
  SeenText seen(100);
  SamplerParams p = no_steps();
  p.extra_steps = {alternating(seen)};
  Sampler sampler(p, {.n_vocab = 40, .n_ctx = 100});
  Ids text = {8, 8, 9};
  for (const int32_t token : text) sampler.accept(token, Origin::Prompt);
  EXPECT_EQ(seen.n_prompt, 3u);
  for (int i = 0; i < 20; ++i) {
    const size_t n_detour = static_cast<size_t>(i) % 4;
    for (size_t k = 0; k < n_detour; ++k) sampler.sample(random_logits(rng, 40, 3));
    EXPECT_EQ(seen.tokens.size(), text.size() + n_detour);
    sampler.rollback(n_detour);
    EXPECT_EQ(seen.tokens, text);
    text.push_back(sampler.sample(random_logits(rng, 40, 3)));
    EXPECT_EQ(text.back() % 2, static_cast<int32_t>((text.size() - 1) % 2)) << "id by the number before it";
    EXPECT_EQ(seen.tokens, text);
  }
  EXPECT_EQ(seen.n_rolled_back, 30u);
  EXPECT_EQ(seen.n_drawn, 50u);
  EXPECT_EQ(seen.n_prompt, 3u);
  EXPECT_EQ(describe_sampler(p), "alternating; temperature 1; seed 0");
}

TEST(SamplerState, MasksOfSeveralStepsAndBansAddUp) {
  SeenText first(10), second(10);
  SamplerParams p = no_steps();
  p.temperature = 0;
  p.logit_bias = {{4, -kInf}, {2, 1.0f}};
  p.extra_steps = {alternating(first)};
  const std::vector<float> logits = {0, 9, 1, 8, 7, 6};
  Sampler one(p, {.n_vocab = 6, .n_ctx = 10});
  EXPECT_EQ(one.sample(logits), 2) << "of 0 and 2; 4 is banned";
  EXPECT_EQ(one.sample(logits), 1);
  second.tokens = {0};  // the other way round
  first.tokens.clear();
  p.extra_steps.push_back(alternating(second));
  Sampler both(p, {.n_vocab = 6, .n_ctx = 10});
  EXPECT_THROW(both.sample(logits), Error) << "no id is even and odd";
}

TEST(SamplerState, TheTextEndsWhereEveryStepSaysSo) {
  SeenText seen(10);
  SamplerParams p = no_steps();
  p.temperature = 0;
  const std::vector<float> logits = {0, 1, 2, 3, 4, 9, 8};
  const Ids ends = {5, 6, 700, -1};
  const SamplerContext context{.n_vocab = 7, .n_ctx = 10, .end_ids = ends};
  EXPECT_EQ(Sampler(p, context).sample(logits), 5) << "no step has a say";
  p.extra_steps = {alternating(seen)};
  Sampler sampler(p, context);
  EXPECT_EQ(sampler.sample(logits), 5) << "may end here; its mask has no say in that";
  EXPECT_EQ(sampler.sample(logits), 3) << "may not end behind one token, the best odd id that is no end";
  p.logit_bias = {{5, -kInf}};
  seen.tokens.clear();
  EXPECT_EQ(Sampler(p, context).sample(logits), 6) << "a ban holds for ends too";
}

TEST(SamplerState, StepsGetTheVocabulary) {
  const std::vector<std::string> words = {"a", "bc", "d"};
  SamplerParams p = no_steps();
  std::string said;
  p.extra_steps = {[&](const SamplerContext& context) {
    for (int32_t id = 0; id < static_cast<int32_t>(context.n_vocab); ++id) said += context.pieces(id);
    for (const int32_t id : context.end_ids) said += "/" + std::to_string(id);
    return nullptr;
  }};
  const Ids ends = {2};
  Sampler(p, {.n_vocab = 3, .n_ctx = 4, .end_ids = ends, .pieces = [&](int32_t id) {
                return std::string_view(words[static_cast<size_t>(id)]);
              }});
  EXPECT_EQ(said, "abcd/2");
}

/// Settings whose steps remember the text.
std::vector<SamplerParams> with_state() {
  std::vector<SamplerParams> all(4, no_steps());
  all[0].mirostat = 1;
  all[1].mirostat = 2;
  all[0].mirostat_tau = all[1].mirostat_tau = 2;
  all[2].xtc_probability = 0.5f;
  all[2].xtc_threshold = 0.02f;
  all[3].frequency_penalty = 0.5f;
  all[3].dry_multiplier = 2;
  all[3].dry_allowed_length = 1;
  return all;
}

TEST(SamplerState, ADetourLeavesNoTrace) {
  for (const SamplerParams& params : with_state()) {
    SCOPED_TRACE(describe_sampler(params));
    Rng rng(12);
    Sampler straight(params, {32, 400}), detours(params, {32, 400});
    size_t n_differs = 0;
    for (size_t i = 0; i < 150; ++i) {
      const size_t n = i % 20 == 19 ? kMaxRollback : i % 5;
      const size_t n_text = i % 20 > 10 && i % 7 == 0 ? 3 : 0;  // of the text too
      for (size_t k = 0; k < n; ++k) detours.sample(random_logits(rng, 32, 4));
      detours.rollback(std::min(n + n_text, kMaxRollback));
      straight.rollback(std::min(n + n_text, kMaxRollback) - n);
      const std::vector<float> logits = random_logits(rng, 32, 4);
      const std::vector<Candidate> expected = straight.weigh(logits).items(),
                                   got = detours.weigh(logits).items();
      ASSERT_EQ(expected.size(), got.size()) << i;
      ASSERT_EQ(std::memcmp(expected.data(), got.data(), got.size() * sizeof(Candidate)), 0) << i;
      n_differs += got.size() < 32 || got.back().logit != *std::min_element(logits.begin(), logits.end());
      straight.take(straight.weigh(logits).items().back());
      detours.take(detours.weigh(logits).items().back());
    }
    EXPECT_GT(n_differs, 30u) << "the steps act";
  }
}

}  // namespace
}  // namespace sw
