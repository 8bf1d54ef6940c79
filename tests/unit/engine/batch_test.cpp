// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include "base/rng.h"
#include "support/gpus.h"
#include "unit/engine/engine_support.h"

namespace sw {
namespace {

using BatchTest = EngineTest;

/// 16 policies of different meaning.
RoutingPolicy policy(int i) {
  RoutingPolicy p;
  p.experts_prefill = {{.k = 1 + i % 4}};
  p.experts_decode = {{.first = 1, .last = 1, .k = 1 + i / 4}};
  if (i % 3 == 0) p.grouped = false;
  if (i % 3 == 1) p.threshold = {.min_k = 1, .share = 0.6f};
  if (i % 5 == 0) p.masks = {{.layer = 2, .first = i, .last = i}};
  return p;
}

/// Alternately greedy and drawn, which shows any change of the logits.
SequenceRequest request_of(int i, int n_prompt, int64_t n_predict) {
  SequenceRequest request{.prompt = text(n_prompt, 1 + 7 * (i % 2)), .n_predict = n_predict};
  request.sampler = {.temperature = static_cast<float>(i % 2), .top_k = 0, .top_p = 1, .min_p = 0};
  request.sampler.seed = static_cast<uint64_t>(i);
  request.routing = policy(i % 16);
  return request;
}

/// Sixteen requests with as many policies: some are cancelled, some give their pages back and begin again,
/// some draft. What came of each is what it gives alone, to the last bit of every logit.
void expect_each_as_alone(const Model& model, int64_t n_predict,
                          const ForwardOptions& forward = {.n_thread = 2, .invariant = true},
                          CacheType cache_type = {}) {
  ForwardOptions small_passes = forward;
  small_passes.n_ubatch = 48;
  // Room for the beginnings of nine, the whole of four: others wait, and some give their pages back.
  Engine engine(model, {.forward = small_passes,
                        .n_ctx = 256,
                        .n_parallel = 12,
                        .n_waiting = 4,
                        .n_cache_token = 9 * 64,
                        .cache_type = cache_type});
  std::vector<SequenceRequest> requests;
  std::map<SequenceId, int> number;
  for (int i = 0; i < 16; ++i) {
    requests.push_back(request_of(i, 20 + 3 * i, n_predict + i));
    if (i % 4 == 0) requests.back().draft = {.n_expert = 1, .n_token = 3};
    number[engine.submit(requests.back())] = i;
  }
  EXPECT_THROW(engine.submit(requests[0]), Error) << "twelve run and four wait";
  Answers got;
  std::map<SequenceId, Finish> finish;
  for (int step = 0; !engine.idle(); ++step) {
    for (const auto& [id, i] : number) {
      if (i % 5 == 2 && step == 20 + i) engine.cancel(id);
    }
    for (const StepEvent& event : step_into(engine, got)) {
      if (event.finish != Finish::None) finish[event.sequence] = event.finish;
    }
  }
  EXPECT_GT(engine.scheduler().n_preempted(), 2);
  EXPECT_GT(engine.draft_counts().n_accepted, 10);
  EXPECT_EQ(finish.size(), 16u);
  for (const auto& [id, i] : number) {
    SCOPED_TRACE(i);
    const Answer alone = answer_alone(model, requests[static_cast<size_t>(i)], 256, forward, cache_type);
    if (i % 5 == 2) {
      EXPECT_EQ(finish[id], Finish::Cancelled);
      EXPECT_LT(got[id].tokens.size(), alone.tokens.size());
      got[id].expect_begins(alone);
    } else {
      got[id].expect_is(alone);
    }
  }
  EXPECT_EQ(engine.cache().n_free_pages(), 9) << "every page came back";
}

TEST_F(BatchTest, SixteenPoliciesGiveEachWhatItGivesAlone) { expect_each_as_alone(*model_, 110); }

TEST_F(BatchTest, SixteenPoliciesInQ8_0) {
  load("bailing_moe_v2", Type::Q8_0);
  expect_each_as_alone(*model_, 110);
}

/// Whose attention has two forms, chosen by the number of tokens where the bits may differ.
TEST_F(BatchTest, SixteenPoliciesWithLatentAttention) {
  load("deepseek_v3");
  if (IsSkipped()) return;
  expect_each_as_alone(*model_, 140);
}

TEST(BatchOfKQuants, SixteenPolicies) {
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  expect_each_as_alone(model, 110);
}

/// What a preempted text computes again, and what it finds of others' beginnings, is what was there.
TEST(BatchOfCacheTypes, SixteenPolicies) {
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  for (const CacheType type : {CacheType(Type::Q8_0, Type::Q4_0), CacheType(Type::IQ4_NL, Type::Q5_1)})
    expect_each_as_alone(model, 110, {.n_thread = 2, .invariant = true}, type);
}

TEST(BatchOnGpus, SixteenPoliciesAreInvariant) {
  SW_GPUS_OR_SKIP(devices);
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  for (const bool cpu_moe : {false, true}) {
    const PlacedModel placed(model, devices, place(model, devices, {.cpu_moe = cpu_moe}),
                             {.invariant = true});
    expect_each_as_alone(model, 110, {.n_thread = 2, .invariant = true, .placed = &placed});
  }
}

/// However prompts are cut while others decode. What a step without them takes is not known at first, so one
/// is made while the prompts wait; the sizes of their pieces are then up to the clock.
void expect_same_where_time_cuts_prompts(const Model& model) {
  Engine engine(model, {.forward = {.n_thread = 2, .invariant = true},
                        .n_ctx = 512,
                        .n_parallel = 4,
                        .prefill_slowdown = 1.2});
  Answers got;
  std::map<SequenceId, SequenceRequest> requests;
  const auto submit = [&](int i, int n_prompt) {
    const SequenceRequest request = request_of(i, n_prompt, 100);
    requests[engine.submit(request)] = request;
  };
  submit(0, 20);
  submit(1, 30);
  step_into(engine, got);
  submit(2, 300);
  submit(4, 200);
  step_into(engine, got);
  EXPECT_EQ(engine.n_computed(), 2) << "the prompts wait until it is known what a step takes";
  step_into(engine, got);
  EXPECT_GT(engine.n_computed(), 2);
  EXPECT_LT(engine.n_computed(), 200) << "the prompts come in pieces";
  while (!engine.idle()) step_into(engine, got);
  for (const auto& [id, request] : requests) {
    SCOPED_TRACE(id);
    got[id].expect_is(answer_alone(model, request, 512));
  }
}

TEST_F(BatchTest, PromptsCutByTimeGiveTheSameBits) { expect_same_where_time_cuts_prompts(*model_); }

TEST_F(BatchTest, PromptsCutByTimeWithLatentAttention) {
  load("deepseek_v3");
  if (IsSkipped()) return;
  expect_same_where_time_cuts_prompts(*model_);
}

TEST_F(BatchTest, PromptsCutByTimeWithStates) {
  load("lfm2_moe");
  if (IsSkipped()) return;
  expect_same_where_time_cuts_prompts(*model_);
}

/// A sequence beside an older one that grows, until no page is free: with small passes that is in the middle
/// of its prompt of 250 tokens, with large ones when it decodes.
void expect_same_after_preemption(const Model& model, const SequenceRequest& younger, int64_t n_ubatch,
                                  bool decodes) {
  constexpr int64_t kContext = 320;
  // At first 1 and 4 pages are in use, and one stays free.
  Engine engine(model, {.forward = {.n_ubatch = n_ubatch, .invariant = true},
                        .n_ctx = kContext,
                        .n_parallel = 2,
                        .n_cache_token = 6 * 64});
  SequenceRequest older{.prompt = text(60, 3), .n_predict = 100};
  older.sampler.temperature = 0;
  engine.submit(older);
  const SequenceId id = engine.submit(younger);
  Answers got;
  while (engine.scheduler().n_preempted() == 0) {
    ASSERT_FALSE(engine.idle());
    step_into(engine, got);
  }
  EXPECT_EQ(!got[id].tokens.empty(), decodes) << got[id].tokens.size() << " tokens were chosen before";
  while (!engine.idle()) step_into(engine, got);
  got[id].expect_is(answer_alone(model, younger, kContext));
}

TEST_F(BatchTest, PreemptionChangesNoLogit) {
  for (const Type type : {Type::F32, Type::Q8_0}) {
    load("bailing_moe_v2", type);
    for (const bool drafts : {false, true}) {
      SequenceRequest request = request_of(0, 250, 40);
      if (drafts) request.draft = {.n_expert = 1, .n_token = 2};
      SCOPED_TRACE(::testing::Message() << type_name(type) << ", drafts: " << drafts);
      expect_same_after_preemption(*model_, request, 3, false);
      expect_same_after_preemption(*model_, request, 512, true);
    }
  }
}

TEST_F(BatchTest, RefusesWhatIsImpossibleBeforeItWaits) {
  Engine engine(*model_, {.n_ctx = 128, .n_waiting = 2});
  engine.submit(greedy(text(20), 100));
  engine.step();
  SequenceRequest request = greedy(text(20), 5);
  const auto refused = [&](auto&& wish) {
    request.routing = RoutingPolicy{};
    wish(*request.routing);
    EXPECT_THROW(engine.submit(request), Error);
  };
  refused([](RoutingPolicy& p) { p.masks = {{.layer = 2, .first = 0, .last = 15}}; });
  refused([](RoutingPolicy& p) { p.masks = {{.layer = 3, .first = 0, .last = 1}}; });
  refused([](RoutingPolicy& p) { p.experts_prefill = {{.k = 9}}; });
  refused([](RoutingPolicy& p) { p.experts_decode = {{.k = -1}}; });
  refused(
      [](RoutingPolicy& p) { p.threshold = {.min_k = 1, .share = std::numeric_limits<float>::quiet_NaN()}; });
  EXPECT_EQ(engine.scheduler().n_waiting(), 0);
  EXPECT_THROW(Engine(*model_, {.n_ctx = 128, .n_cache_token = 64}), Error) << "not even one sequence";
  const SequenceId waits = engine.submit(greedy(text(20), 5));
  EXPECT_EQ(engine.scheduler().n_waiting(), 1);
  engine.cancel(waits);
  EXPECT_EQ(engine.step()[0].finish, Finish::Cancelled);
  EXPECT_EQ(engine.scheduler().n_waiting(), 0);
}

/// Random requests, cancels and steps; what comes out is what each gives alone, to the bit, also where it
/// goes on from the pages of another.
TEST_F(BatchTest, RandomSequencesOfCallsSpoilNothing) {
  constexpr int kKinds = 24, kSteps = 9000;
  Rng rng(11);
  std::vector<SequenceRequest> kinds;
  std::vector<Answer> expected;
  for (int k = 0; k < kKinds; ++k) {
    const int n_prompt = 1 + static_cast<int>(rng.below(k % 4 == 0 ? 140 : 60));
    kinds.push_back(request_of(k % 3 == 0 ? 5 : k, n_prompt, static_cast<int64_t>(rng.below(160))));
    expected.push_back(answer_alone(*model_, kinds.back(), 192));
  }
  Engine engine(*model_, {.forward = {.n_ubatch = 32, .invariant = true},
                          .n_ctx = 192,
                          .n_parallel = 5,
                          .n_waiting = 4,
                          .n_cache_token = 6 * 64});
  std::map<SequenceId, size_t> kind_of;
  Answers got;
  int64_t n_ended = 0;
  for (int step = 0; step < kSteps || !engine.idle(); ++step) {
    if (step < kSteps && rng.below(4) == 0) {
      const size_t k = rng.below(kKinds);
      const bool full = engine.scheduler().n_running() + engine.scheduler().n_waiting() == 9;
      if (full) {
        EXPECT_THROW(engine.submit(kinds[k]), Error);
      } else {
        kind_of[engine.submit(kinds[k])] = k;
      }
    }
    if (!kind_of.empty() && rng.below(25) == 0)
      engine.cancel(std::next(kind_of.begin(), static_cast<int64_t>(rng.below(kind_of.size())))->first);
    for (const StepEvent& event : step_into(engine, got)) {
      ASSERT_TRUE(kind_of.contains(event.sequence)) << "nothing comes after the end";
      if (event.finish == Finish::None) continue;
      SCOPED_TRACE(step);
      const Answer& alone = expected[kind_of[event.sequence]];
      const bool whole = event.finish == Finish::Length;
      if (whole) {
        got[event.sequence].expect_is(alone);
      } else {
        got[event.sequence].expect_begins(alone);
      }
      if (HasFatalFailure()) return;
      n_ended += whole;
      kind_of.erase(event.sequence);
      got.erase(event.sequence);
    }
  }
  EXPECT_TRUE(kind_of.empty());
  EXPECT_GT(n_ended, 50);
  EXPECT_GT(engine.scheduler().n_preempted(), 20);
  EXPECT_EQ(engine.cache().n_free_pages(), 6);
}

}  // namespace
}  // namespace sw
