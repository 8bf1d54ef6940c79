// SPDX-License-Identifier: MIT
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>

#include "unit/engine/engine_support.h"

namespace sw {
namespace {

using EngineWindow = testing::TinyGptOss;

TEST_F(EngineWindow, PagesThatNoTokenSeesAreUsedAgain) {
  std::vector<std::vector<int32_t>> answers;
  std::vector<size_t> cache_bytes;
  for (const int n_ubatch : {512, 4}) {  // the first has room for every token in every layer
    Engine engine(*model_, {.forward = {.n_ubatch = n_ubatch}, .n_ctx = 512});
    cache_bytes.push_back(engine.cache().plan().size_bytes());
    SequenceRequest request{.prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9}, .n_predict = 200};
    request.sampler.temperature = 0;
    for (const int more :
         {0, 40, -200}) {  // goes on from the cache; then begins where its window has moved on
      request.prompt.resize(request.prompt.size() + static_cast<size_t>(more));
      engine.submit(request);
      while (!engine.idle()) {
        for (const StepEvent& event : engine.step()) request.prompt.push_back(event.token);
      }
    }
    answers.push_back(request.prompt);
  }
  EXPECT_LT(cache_bytes[1], cache_bytes[0]);
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_F(EngineTest, NeighboursChangeNothing) {
  SequenceRequest a = greedy({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 20), b = greedy({400, 3}, 33),
                  c = greedy({77}, 5);
  c.routing = RoutingPolicy{};
  c.routing->experts_prefill = c.routing->experts_decode = {{.k = 1}};
  const std::vector<int32_t> expected[] = {alone(a), alone(b), alone(c)};
  EXPECT_NE(alone(greedy({77}, 5)), expected[2]) << "one expert tells another story";
  Engine engine(*model_, {.forward = {.n_thread = 2, .n_ubatch = 4}, .n_parallel = 3});
  const SequenceId ids[] = {engine.submit(a), engine.submit(b), engine.submit(c)};
  auto got = run(engine);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(got[ids[i]], expected[i]) << i;
}

TEST_F(EngineTest, EndsWhereItShould) {
  const std::vector<int32_t> expected = alone(greedy({1, 2, 3}, 10));
  ASSERT_EQ(expected.size(), 10u);
  SequenceRequest request = greedy({1, 2, 3}, 10);
  request.end_ids = {expected[4]};
  const std::vector<int32_t> stopped = alone(request);
  EXPECT_LE(stopped.size(), 5u);
  EXPECT_EQ(stopped.back(), expected[4]) << "the end token is handed out, as the last";
  Engine small(*model_, {.n_ctx = 8});
  const SequenceId id = small.submit(greedy({1, 2, 3}, -1));
  EXPECT_EQ(run(small)[id].size(), 5u) << "the context holds 8 tokens";
  EXPECT_TRUE(alone(greedy({1, 2, 3}, 0)).empty());
}

TEST_F(EngineTest, CancelledSequencesFreeTheirPlace) {
  Engine engine(*model_, {});
  const SequenceId id = engine.submit(greedy({1, 2, 3}, 100));
  EXPECT_THROW(engine.submit(greedy({1}, 1)), Error) << "one sequence at a time";
  engine.step();
  engine.cancel(id);
  const std::span<const StepEvent> events = engine.step();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].finish, Finish::Cancelled);
  EXPECT_TRUE(engine.idle());
  const SequenceId next = engine.submit(greedy({1, 2, 3}, 4));
  EXPECT_EQ(run(engine)[next], alone(greedy({1, 2, 3}, 4)));
}

TEST_F(EngineTest, RefusesWhatItCannotServeAndKeepsNothingOfIt) {
  Engine engine(*model_, {.n_ctx = 16});
  EXPECT_THROW(engine.submit(greedy({}, 1)), Error);
  EXPECT_THROW(engine.submit(greedy(std::vector<int32_t>(16, 1), 1)), Error);
  EXPECT_THROW(engine.submit(greedy({512}, 1)), Error);
  EXPECT_THROW(engine.submit(greedy({-1}, 1)), Error);
  SequenceRequest request = greedy({1}, 1);
  request.routing = RoutingPolicy{};
  request.routing->experts_decode = {{.k = 5}};  // above experts_max
  EXPECT_THROW(engine.submit(request), Error);
  request.routing->experts_decode.clear();
  request.sampler.top_p = 2;
  request.sampler.temperature = 1;
  EXPECT_THROW(engine.submit(request), Error);
  EXPECT_TRUE(engine.idle());
  const SequenceId id = engine.submit(greedy({1, 2, 3}, -1));
  EXPECT_EQ(run(engine)[id].size(), 13u) << "every page is still there";
}

TEST_F(EngineTest, ImpossibleDefaultPoliciesAreRefusedAtOnce) {
  RoutingPolicy policy;
  policy.experts_decode = {{.k = 9}};  // 4 groups of 2 hold 8
  EXPECT_THROW(Engine(*model_, {.default_policy = policy}), Error);
}

/// The logits of whatever follows `token` become NaN, as damaged weights make them.
void poison(const std::filesystem::path& file, int32_t token) {
  const GgufFile gguf(file);
  const GgufTensor* table = gguf.find_tensor("token_embd.weight");
  ASSERT_NE(table, nullptr);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto row_bytes = static_cast<uint64_t>(table->shape.n_cols()) * sizeof nan;
  std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
  out.seekp(static_cast<std::streamoff>(gguf.data_offset() + table->offset +
                                        static_cast<uint64_t>(token) * row_bytes));
  out.write(reinterpret_cast<const char*>(&nan), sizeof nan);
}

TEST_F(EngineTest, AnErrorEndsOneSequenceAndSpoilsNoOther) {
  constexpr int32_t kPoisoned = 100;
  SequenceRequest well = greedy({1, 2, 3, 4}, 12), forbidden = greedy({5, 6}, 12),
                  ill = greedy({7, 8, 9, kPoisoned, 10}, 12);
  for (int32_t id = 0; id < model_->hparams().n_vocab; ++id)
    forbidden.sampler.logit_bias.push_back({id, -std::numeric_limits<float>::infinity()});
  const std::vector<int32_t> expected = alone(well);
  poison(file(), kPoisoned);
  model_ = std::make_unique<Model>(file());
  Engine engine(*model_, {.n_ctx = 256, .n_parallel = 3});
  std::map<SequenceId, std::string> errors;
  std::vector<int32_t> tokens;
  const SequenceId of_ill = engine.submit(ill), of_well = engine.submit(well),
                   of_forbidden = engine.submit(forbidden);
  const auto run_all = [&] {
    while (!engine.idle()) {
      for (const StepEvent& event : engine.step()) {
        EXPECT_EQ(event.finish == Finish::Error, !event.error.empty());
        if (event.finish == Finish::Error) errors[event.sequence] = event.error;
        if (event.token >= 0) tokens.push_back(event.token);
      }
    }
  };
  run_all();
  EXPECT_EQ(tokens, expected);
  EXPECT_NE(errors[of_ill].find("not a number"), std::string::npos) << errors[of_ill];
  EXPECT_NE(errors[of_forbidden].find("forbidden"), std::string::npos) << errors[of_forbidden];
  EXPECT_FALSE(errors.contains(of_well));
  tokens.clear();
  // A text that begins as the ill one, in pages that were its: nothing of it is left.
  engine.submit(ill);
  run_all();
  engine.submit(greedy({1, 2, 3, 4, 11, 12, 13}, 9));
  run_all();
  EXPECT_EQ(tokens, alone(greedy({1, 2, 3, 4, 11, 12, 13}, 9)));
  // Nor does anything go on from its whole pages.
  ill.prompt.resize(150, 9);
  for (int i = 0; i < 2; ++i) {
    engine.submit(ill);
    engine.step();
    EXPECT_EQ(engine.n_computed(), 150) << i;
    EXPECT_TRUE(engine.idle());
  }
}

/// A step may throw in the middle of its events. What was chosen stays, the rest is computed again.
TEST_F(EngineTest, AStepThatThrowsLosesNothing) {
  std::vector<SequenceRequest> requests = {greedy(text(70), 40), greedy(text(9, 30), 40)};
  requests[1].draft = {.n_expert = 1, .n_token = 3};
  for (SequenceRequest& r : requests) r.sampler.repeat_penalty = 1.3f;  // shows what the sampler remembers
  Engine engine(*model_, {.forward = {.n_ubatch = 32, .invariant = true}, .n_ctx = 128, .n_parallel = 2});
  std::map<SequenceId, std::vector<int32_t>> got;
  std::vector<SequenceId> ids;
  for (const SequenceRequest& r : requests) ids.push_back(engine.submit(r));
  int n_call = 0, n_thrown = 0;
  const OnToken on_token = [&](const StepEvent& event, std::span<const float>) {
    got[event.sequence].push_back(event.token);
    if (++n_call % 7 == 0) throw std::runtime_error("the disk is full");
  };
  while (!engine.idle()) {
    try {
      engine.step(nullptr, on_token);
    } catch (const std::runtime_error&) {
      ++n_thrown;
    }
  }
  EXPECT_EQ(n_thrown, 80 / 7);
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(got[ids[i]], answer_alone(*model_, requests[i], 128).tokens) << i;
  EXPECT_GT(engine.draft_counts().n_accepted, 0);
  EXPECT_EQ(engine.cache().n_free_pages(), 4);
}

TEST_F(EngineTest, AChatGoesOnFromItsCache) {
  Engine engine(*model_, {});
  std::vector<int32_t> tokens = text(120);
  n_computed(engine, greedy(tokens, 40), &tokens);
  EXPECT_EQ(tokens.size(), 160u);
  tokens.insert(tokens.end(), {9, 10, 11});
  const auto go_on = [&](const SequenceRequest& request, int64_t computed) {
    std::vector<int32_t> got;
    EXPECT_EQ(n_computed(engine, request, &got), computed);
    EXPECT_EQ(got, alone(request));
  };
  // Two pages of 64 are whole; the rest of the prompt and seven inputs are computed.
  go_on(greedy(tokens, 8), 163 - 128 + 7);
  tokens.resize(128);
  go_on(greedy(tokens, 2), 64 + 1);  // the last token of a prompt is always computed, with its page
  tokens[70] = 400;
  go_on(greedy(tokens, 2), 64 + 1);
  tokens[3] = 400;
  go_on(greedy(tokens, 2), 128 + 1);
}

TEST_F(EngineTest, PrefixesAreSharedBetweenEqualPoliciesOnly) {
  Engine engine(*model_, {.n_parallel = 8});
  const std::vector<int32_t> prompt = text(130);
  const auto with = [&](auto&& change) {
    SequenceRequest request = greedy(prompt, 60);
    request.routing = RoutingPolicy{};
    change(*request.routing);
    return request;
  };
  const SequenceRequest own = greedy(prompt, 60),
                        decode = with([](RoutingPolicy&p) { p.experts_decode = {{.k = 1}}; }),
                        prefill = with([](RoutingPolicy&p) { p.experts_prefill = {{.k = 1}}; }),
                        masked =
                            with([](RoutingPolicy&p) { p.masks = {{.layer = 2, .first = 3, .last = 3}}; }),
                        other_mask =
                            with([](RoutingPolicy&p) { p.masks = {{.layer = 2, .first = 4, .last = 4}}; }),
                        threshold = with([](RoutingPolicy&p) { p.threshold = {.min_k = 1, .share = 0.9f}; }),
                        idle_wish = with([](RoutingPolicy&p) { p.threshold = {.min_k = 1, .share = 0.0f}; });
  std::vector<int32_t> answer;
  EXPECT_EQ(n_computed(engine, own, &answer), 130 + 59);
  EXPECT_EQ(n_computed(engine, own), 2 + 59);
  EXPECT_EQ(n_computed(engine, idle_wish), 2 + 59) << "a wish that changes nothing";
  EXPECT_EQ(n_computed(engine, prefill), 130 + 59);
  // An id is given away again once its policy is gone; what it meant then is not what it means now.
  EXPECT_EQ(n_computed(engine, masked), 130 + 59);
  EXPECT_EQ(n_computed(engine, other_mask), 130 + 59);
  EXPECT_EQ(n_computed(engine, masked), 2 + 59);
  EXPECT_EQ(n_computed(engine, threshold), 130 + 59);
  EXPECT_EQ(n_computed(engine, decode), 2 + 59) << "its prompt has the same routing";
  // Generated tokens of that one had another routing than prompts have.
  SequenceRequest next = decode;
  std::vector<int32_t> tail;
  n_computed(engine, decode, &tail);
  next.prompt.insert(next.prompt.end(), tail.begin(), tail.end());
  EXPECT_EQ(n_computed(engine, next), 190 - 128 + 59) << "no page with generated tokens";
  next.routing.reset();
  next.prompt = prompt;
  next.prompt.insert(next.prompt.end(), answer.begin(), answer.begin() + 70 - 10);
  next.prompt.resize(195, 1);
  EXPECT_EQ(n_computed(engine, next), 195 - 128 + 59) << "only whole pages: 189 tokens were in the cache";
}

TEST_F(EngineTest, RunningSequencesReadTheSamePages) {
  Engine engine(*model_, {.n_parallel = 3});
  const int64_t all = engine.cache().n_free_pages();
  engine.submit(greedy(text(200), 5));
  engine.step();
  EXPECT_EQ(engine.cache().n_free_pages(), all - 4);
  engine.submit(greedy(text(200), 5));
  engine.step();
  EXPECT_EQ(engine.n_computed(), 1 + 200 - 192);
  EXPECT_EQ(engine.cache().n_free_pages(), all - 5) << "three pages are shared";
  SequenceRequest other = greedy(text(200), 5);
  other.routing = RoutingPolicy{};
  other.routing->experts_prefill = {{.k = 1}};
  engine.submit(other);
  engine.step();
  EXPECT_EQ(engine.cache().n_free_pages(), all - 9) << "other routing, other pages";
  run(engine);
  EXPECT_EQ(engine.cache().n_free_pages(), all);
}

TEST_F(EngineTest, AShortPromptDoesNotWaitForTheEndOfALongOne) {
  Engine engine(*model_, {.forward = {.n_ubatch = 16}, .n_ctx = 256, .n_parallel = 3});
  const SequenceId oldest = engine.submit(greedy(text(200, 1), 4));
  engine.submit(greedy(text(100, 2), 4));
  const SequenceId short_one = engine.submit(greedy(text(4, 3), 1));
  std::map<SequenceId, int> first_step;
  for (int step = 1; !engine.idle(); ++step) {
    for (const StepEvent& event : engine.step()) first_step.try_emplace(event.sequence, step);
    EXPECT_LE(engine.n_computed(), 16);
  }
  EXPECT_LE(first_step[oldest], 2 * 200 / 16) << "half of each step is for it";
  EXPECT_GT(first_step[oldest], 200 / 16);
  EXPECT_EQ(first_step[short_one], 1) << "it needs less than the second";
}

}  // namespace
}  // namespace sw
