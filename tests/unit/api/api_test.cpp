// SPDX-License-Identifier: MIT
#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <switchyard/switchyard.h>

#include "engine/engine.h"
#include "support/converted_file.h"

namespace switchyard {
namespace {

class ApiTest : public sw::testing::TinyLingFile {
 protected:
  static Request greedy(std::vector<int32_t> prompt, int64_t n) {
    Request request{.prompt = std::move(prompt), .n_predict = n, .end_ids = std::vector<int32_t>{}};
    request.sampler.temperature = 0;
    return request;
  }
  struct Answer {
    std::vector<int32_t> tokens = {};
    std::string text = {}, reasoning = {};
    Finish finish = Finish::None;
  };
  static std::map<RequestId, Answer> run(Engine& engine) {
    std::map<RequestId, Answer> answers;
    while (!engine.idle()) {
      for (const Event& event : engine.step()) {
        Answer& answer = answers[event.request];
        if (event.token >= 0) answer.tokens.push_back(event.token);
        answer.text += event.text;
        answer.reasoning += event.reasoning;
        answer.finish = event.finish;
      }
    }
    return answers;
  }
  template <class F>
  static Error::Parts refusal(F&& f) {
    try {
      f();
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      return e.parts();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
  }
};

TEST_F(ApiTest, TellsTheModelsFigures) {
  const Model model(file());
  const sw::Model inner(file());
  EXPECT_EQ(model.architecture(), "bailingmoe2");
  EXPECT_EQ(model.n_layer(), inner.hparams().n_layer);
  EXPECT_EQ(model.n_expert(), inner.moe_layers().front().router.n_expert);
  EXPECT_EQ(model.n_expert_used(), inner.moe_layers().front().router.n_expert_used);
  EXPECT_EQ(model.weight_bytes(), inner.weight_bytes());
  const Model overridden(file(), {.overrides = {"bailingmoe2.expert_used_count=int:2"}});
  EXPECT_EQ(overridden.n_expert_used(), 2);
}

TEST_F(ApiTest, GivesTheTokensOfTheEngine) {
  const Model model(file());
  Engine engine(model, {.device = "none"});
  const RequestId id = engine.submit(greedy({1, 2, 3, 4}, 12));

  const sw::Model inner(file());
  sw::Engine plain(inner, {});
  sw::SequenceRequest request{.prompt = {1, 2, 3, 4}, .n_predict = 12};
  request.sampler.temperature = 0;
  plain.submit(request);
  std::vector<int32_t> expected;
  while (!plain.idle()) {
    for (const sw::StepEvent& event : plain.step()) expected.push_back(event.token);
  }
  const Answer answer = run(engine)[id];
  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.finish, Finish::Length);
}

TEST_F(ApiTest, RequestsWithOtherPoliciesShareABatch) {
  const Model model(file());
  const std::vector<std::optional<RoutingPolicy>> policies = {
      std::nullopt, RoutingPolicy::with_experts(1), RoutingPolicy{.grouped = false},
      RoutingPolicy::from_json(R"({"threshold": [1, 0.5]})")};
  std::vector<std::vector<int32_t>> alone;
  for (const auto& policy : policies) {
    Engine engine(model, {.device = "none"});
    Request request = greedy({5, 6, 7}, 16);
    request.routing = policy;
    const RequestId id = engine.submit(request);
    alone.push_back(run(engine)[id].tokens);
  }
  Engine engine(model, {.n_parallel = 4, .device = "fake:1"});
  std::vector<RequestId> ids;
  for (const auto& policy : policies) {
    Request request = greedy({5, 6, 7}, 16);
    request.routing = policy;
    ids.push_back(engine.submit(request));
  }
  auto together = run(engine);
  for (size_t i = 0; i < policies.size(); ++i) EXPECT_EQ(together[ids[i]].tokens, alone[i]) << i;
  EXPECT_NE(alone[0], alone[1]);
}

TEST_F(ApiTest, TextArrivesWholeAndEndsWithTheRequest) {
  const Model model(file());
  Engine engine(model, {});
  const RequestId id = engine.submit(greedy(model.tokenize("a"), 20));
  const Answer answer = run(engine)[id];
  ASSERT_EQ(answer.tokens.size(), 20u);
  EXPECT_EQ(answer.text.empty(), model.detokenize(answer.tokens).empty());

  // The last token as an end token: it ends the request and is no text.
  Request stopping = greedy(model.tokenize("a"), 20);
  stopping.end_ids = {{answer.tokens.front()}};
  const RequestId stopped = engine.submit(stopping);
  const Answer nothing = run(engine)[stopped];
  EXPECT_EQ(nothing.finish, Finish::Stop);
  EXPECT_EQ(nothing.tokens.size(), 1u);
  EXPECT_EQ(nothing.text, "");
}

TEST_F(ApiTest, StopStringsEndAnAnswerAndAreNoneOfIt) {
  const Model model(file());
  Engine engine(model, {.n_parallel = 2, .device = "none"});
  const RequestId whole = engine.submit(greedy(model.tokenize("a"), 20));
  const std::string text = run(engine)[whole].text;
  ASSERT_GT(text.size(), 6u);
  Request stopping = greedy(model.tokenize("a"), 20);
  stopping.stops = {text.substr(3, 2)};
  const RequestId stopped = engine.submit(stopping), other = engine.submit(greedy(model.tokenize("a"), 20));
  auto answers = run(engine);
  EXPECT_EQ(answers[stopped].finish, Finish::Stop);
  EXPECT_EQ(answers[stopped].text, text.substr(0, text.find(stopping.stops[0])));
  EXPECT_LT(answers[stopped].tokens.size(), 20u);
  EXPECT_EQ(answers[other].text, text) << "the other goes on";
  stopping.stops = {""};
  EXPECT_THROW(engine.submit(stopping), Error);
  EXPECT_TRUE(engine.idle()) << "a request that is refused leaves nothing";
}

TEST_F(ApiTest, ReasoningIsToldApart) {
  const Model model(file());
  Engine engine(model, {.device = "none"});
  const RequestId plain = engine.submit(greedy(model.tokenize("a", false), 8));
  const Answer answer = run(engine)[plain];
  EXPECT_EQ(answer.reasoning, "");
  const RequestId thinking = engine.submit(greedy(model.tokenize("a<think>\n", false), 8));
  const Answer inside = run(engine)[thinking];
  ASSERT_EQ(inside.tokens.size(), 8u);
  EXPECT_EQ(inside.text, "");
  EXPECT_FALSE(inside.reasoning.empty());
}

TEST_F(ApiTest, PlacesAsTheCommandLineDoesAndTellsWhere) {
  std::vector<std::string> notes, warnings;
  const OnNote note = [&](std::string_view line, bool warning) {
    (warning ? warnings : notes).emplace_back(line);
  };
  const auto told = [](const std::vector<std::string>& lines, const char* part) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(part) != line.npos; });
  };
  const Model model(file(), {.overrides = {"general.name=str:Fox"}, .on_note = note});
  EXPECT_TRUE(told(notes, "overridden: general.name"));
  Engine cpu(model, {.device = "none", .placement = {.n_gpu_layers = 1}, .on_note = note});
  EXPECT_TRUE(told(warnings, "-ngl has no effect"));
  Engine split(model, {.n_ctx = 64,
                       .device = "fake:2",
                       .placement = {.overrides = {"exps=CPU", "attn=fake2"}, .tensor_split = {1, 0}},
                       .on_note = note});
  EXPECT_TRUE(told(notes, "-> fake2"));
  EXPECT_TRUE(told(notes, "fake1: weights"));
  const RequestId a = cpu.submit(greedy({1, 2, 3}, 10)), b = split.submit(greedy({1, 2, 3}, 10));
  EXPECT_EQ(run(cpu)[a].tokens, run(split)[b].tokens);
  const auto refused = [&](const Placement& placement) {
    return refusal([&] { Engine(model, {.device = "fake:1", .placement = placement}); }).where;
  };
  EXPECT_EQ(refused({.n_cpu_moe = -1}), "n_cpu_moe");
  EXPECT_EQ(refused({.main_gpu = 5}), "--main-gpu");
  EXPECT_EQ(refused({.overrides = {"exps"}}), "exps");
}

TEST_F(ApiTest, CancelEndsOneRequestBeforeTheNextStep) {
  const Model model(file());
  Engine engine(model, {.n_parallel = 2});
  const RequestId a = engine.submit(greedy({1, 2}, 10)), b = engine.submit(greedy({3}, 10));
  engine.step();
  engine.cancel(a);
  engine.cancel(4711);
  auto answers = run(engine);
  EXPECT_EQ(answers[a].finish, Finish::Cancelled);
  EXPECT_TRUE(answers[a].tokens.empty());
  EXPECT_EQ(answers[b].tokens.size(), 9u);
}

TEST_F(ApiTest, StatisticsCountWhatWasDone) {
  const Model model(file());
  Engine engine(model, {.count_routing = true});
  engine.submit(greedy({1, 2, 3, 4, 5}, 4));
  run(engine);
  const Statistics s = engine.statistics();
  EXPECT_EQ(s.n_token_generated, 4);
  EXPECT_EQ(s.n_token_computed, 5 + 3);  // the last token's successor is not wanted
  EXPECT_EQ(s.n_step, 4);
  EXPECT_GT(s.expert_bytes_read, 0u);
  EXPECT_GT(s.dense_flops, 0u);
  EXPECT_GT(s.cache_bytes, 0u);
  ASSERT_FALSE(s.routing.empty());
  for (const LayerRouting& layer : s.routing) {
    EXPECT_EQ(layer.n_token, 8u);
    const uint64_t chosen = std::accumulate(layer.counts.begin(), layer.counts.end(), uint64_t{0});
    EXPECT_EQ(chosen, 8u * static_cast<uint64_t>(model.n_expert_used()));
    EXPECT_GE(layer.imbalance, 1.0);
  }
}

TEST_F(ApiTest, FaultsAreErrorsOfOneLine) {
  EXPECT_THROW(Model(folder() / "none.gguf"), Error);
  const Model model(file());
  EXPECT_EQ(refusal([&] { Engine(model, {.n_parallel = 0}); }).where, "n_parallel");
  EXPECT_THROW(Engine(model, {.device = "CUDA77"}), Error);
  EXPECT_THROW(Engine(model, {.default_policy = RoutingPolicy::with_experts(-1)}), Error);
  EXPECT_THROW(RoutingPolicy::from_json("{"), Error);
  EXPECT_THROW(RoutingPolicy::from_json(R"({"expert": 2})"), Error);
  const Message stranger[] = {{.role = "parrot", .text = "Hello"}};
  EXPECT_THROW(model.chat_prompt(stranger), Error);

  Engine engine(model, {});
  EXPECT_NE(refusal([&] { engine.submit({}); }).what.find("empty"), std::string::npos);
  Request hot = greedy({1}, 1);
  hot.sampler.temperature = -1;
  EXPECT_THROW(engine.submit(hot), Error);
  Request greedy_policy = greedy({1}, 1);
  greedy_policy.routing = RoutingPolicy::with_experts(1000);
  EXPECT_THROW(engine.submit(greedy_policy), Error);
  EXPECT_TRUE(engine.idle());
}

}  // namespace
}  // namespace switchyard
