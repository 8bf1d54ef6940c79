// SPDX-License-Identifier: MIT
// What a seed gives must stay the same on every machine and through every change of the code; and choosing
// a token takes no memory.
#include <gtest/gtest.h>

#include "engine/sampler/sampler.h"
#include "support/allocations.h"
#include "unit/engine/sampler_support.h"

namespace sw {
namespace {

using testing::no_steps;
using testing::random_logits;
using Ids = std::vector<int32_t>;

struct Pin {
  const char* name;
  SamplerParams params;
  Ids tokens;
};

SamplerParams with(void (*change)(SamplerParams&)) {
  SamplerParams p = no_steps();
  p.seed = 20;
  change(p);
  return p;
}

std::vector<Pin> pins() {
  using P = SamplerParams;
  return {
      {"default",
       with([](P& p) { p = {.seed = 20}; }),
       {29, 26, 29, 20, 31, 18, 22, 27, 3, 23, 3, 23, 26, 5, 12, 22}},
      {"draw", with([](P&) {}), {2, 26, 29, 26, 31, 27, 19, 5, 3, 9, 3, 28, 11, 27, 13, 10}},
      {"greedy",
       with([](P& p) { p.temperature = 0; }),
       {29, 26, 8, 9, 31, 18, 14, 18, 3, 8, 3, 3, 12, 19, 26, 14}},
      {"temperature",
       with([](P& p) { p.temperature = 0.4f; }),
       {29, 26, 8, 20, 31, 18, 23, 27, 3, 8, 3, 29, 26, 4, 1, 19}},
      {"dynamic temperature",
       with([](P& p) {
         p.dynatemp_range = 0.7f;
         p.dynatemp_exponent = 1.5f;
       }),
       {2, 26, 21, 26, 31, 27, 20, 5, 3, 9, 31, 24, 11, 26, 15, 13}},
      {"top_k", with([](P& p) { p.top_k = 3; }), {29, 26, 8, 20, 31, 18, 23, 18, 3, 8, 3, 5, 12, 4, 1, 19}},
      {"top_p",
       with([](P& p) { p.top_p = 0.5f; }),
       {29, 26, 8, 20, 31, 18, 23, 27, 3, 23, 3, 29, 26, 4, 1, 23}},
      {"min_p",
       with([](P& p) { p.min_p = 0.3f; }),
       {29, 26, 29, 20, 31, 18, 0, 27, 3, 23, 3, 27, 26, 5, 12, 9}},
      {"typical",
       with([](P& p) { p.typical_p = 0.3f; }),
       {19, 27, 19, 13, 20, 6, 25, 0, 4, 28, 17, 11, 27, 26, 13, 22}},
      {"top_n_sigma",
       with([](P& p) { p.top_n_sigma = 0.9f; }),
       {29, 26, 29, 20, 31, 18, 0, 27, 3, 23, 3, 27, 26, 5, 12, 22}},
      {"xtc",
       with([](P& p) {
         p.xtc_probability = 0.5f;
         p.xtc_threshold = 0.03f;
       }),
       {18, 26, 29, 26, 31, 27, 19, 8, 22, 9, 3, 28, 7, 27, 13, 10}},
      {"penalties",
       with([](P& p) {
         p.repeat_penalty = 1.5f;
         p.presence_penalty = 1;
         p.frequency_penalty = 1;
         p.penalty_last_n = 8;
       }),
       {29, 26, 21, 20, 31, 18, 27, 0, 3, 23, 6, 4, 11, 26, 13, 10}},
      {"dry",
       with([](P& p) {
         p.dry_multiplier = 4;
         p.dry_allowed_length = 1;
       }),
       {2, 26, 29, 26, 31, 27, 19, 5, 3, 9, 3, 17, 11, 27, 13, 10}},
      {"mirostat 1",
       with([](P& p) {
         p.mirostat = 1;
         p.mirostat_tau = 2;
       }),
       {29, 26, 8, 20, 31, 18, 0, 18, 3, 23, 3, 5, 26, 4, 12, 23}},
      {"mirostat 2",
       with([](P& p) {
         p.mirostat = 2;
         p.mirostat_tau = 2;
       }),
       {29, 26, 8, 20, 31, 18, 0, 27, 3, 23, 3, 5, 26, 5, 1, 23}},
      {"logit bias",
       with([](P& p) {
         p.logit_bias = {{5, 4.0f}, {6, -1.0f}};
       }),
       {5, 5, 29, 5, 31, 5, 27, 5, 5, 5, 5, 5, 11, 5, 1, 23}},
  };
}

TEST(SamplerPins, SeedsGiveTheseTokens) {
  for (const Pin& pin : pins()) {
    Sampler sampler(pin.params, {32, 64});
    for (const int32_t token : {1, 2, 3, 1, 2}) sampler.accept(token, Origin::Prompt);
    Rng rng(1);
    Ids tokens;
    for (int i = 0; i < 16; ++i) tokens.push_back(sampler.sample(random_logits(rng, 32, 3)));
    EXPECT_EQ(tokens, pin.tokens) << pin.name << ": " << ::testing::PrintToString(tokens);
  }
}

TEST(SamplerPins, SampleAllocatesNothing) {
  SamplerParams everything;
  everything.repeat_penalty = 1.1f;
  everything.dry_multiplier = 0.8f;
  everything.dry_breakers = {.tokens = {3}, .sequences = {{4, 5}}};
  everything.top_n_sigma = 3;
  everything.top_k = 500;
  everything.typical_p = 0.9f;
  everything.xtc_probability = 0.5f;
  everything.dynatemp_range = 0.3f;
  everything.logit_bias = {{1, 1.0f}, {2, -testing::kInf}};
  SamplerParams mirostat = everything, greedy = everything;
  mirostat.mirostat = 1;
  greedy.temperature = greedy.dynatemp_range = 0;
  Rng rng(9);
  const std::vector<float> logits = random_logits(rng, 4000, 8);
  SamplerParams draw = no_steps();
  const Ids ends = {3, 4};
  testing::SeenText seen(2000);
  for (SamplerParams* params : {&everything, &mirostat, &greedy, &draw})
    params->extra_steps = {testing::alternating(seen)};
  for (const SamplerParams& params : {everything, mirostat, greedy, draw}) {
    Sampler sampler(params, {.n_vocab = 4000, .n_ctx = 256, .end_ids = ends});
    sampler.accept(17, Origin::Prompt);
    const uint64_t before = testing::n_allocation();
    ASSERT_GT(before, 0u) << "they are counted";
    for (int i = 0; i < 255; ++i) {
      sampler.sample(logits);
      sampler.rollback(1);
      sampler.sample(logits);
    }
    EXPECT_EQ(testing::n_allocation(), before) << describe_sampler(params);
  }
}

}  // namespace
}  // namespace sw
