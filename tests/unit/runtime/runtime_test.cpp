// SPDX-License-Identifier: MIT
#include "runtime/runtime.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "runtime/generate.h"
#include "runtime/limits.h"
#include "runtime/measured_model.h"
#include "runtime/open_model.h"
#include "support/refusal.h"
#include "support/tiny_model.h"

namespace sw {
namespace {

/// What was told.
struct Told {
  std::vector<std::string> info = {}, warnings = {};
  int n_read = 0;

  Notes notes() {
    return {.on_info = [this](std::string_view line) { info.emplace_back(line); },
            .on_warning = [this](std::string_view line) { warnings.emplace_back(line); },
            .on_read = [this](uint64_t, uint64_t) { ++n_read; }};
  }
  static bool any_contains(const std::vector<std::string>& lines, const std::string& part) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(part) != line.npos; });
  }
};

class RuntimeTest : public testing::TinyLing {
 protected:
  static SequenceRequest greedy() {
    SequenceRequest request{.prompt = {1, 2, 3, 4}, .n_predict = 12};
    request.sampler.temperature = 0;
    return request;
  }
  static std::vector<int32_t> run(Engine& engine) {
    engine.submit(greedy());
    std::vector<int32_t> tokens;
    while (!engine.idle()) {
      for (const StepEvent& event : engine.step()) tokens.push_back(event.token);
    }
    return tokens;
  }
};

TEST_F(RuntimeTest, OpeningTellsWhatWasOverriddenAndReads) {
  Told told;
  const auto model = open_model(file(), {.overrides = {"bailingmoe2.expert_used_count=int:2"}}, told.notes());
  EXPECT_EQ(model->moe_layers().front().router.n_expert_used, 2);
  EXPECT_TRUE(Told::any_contains(told.info, "overridden: bailingmoe2.expert_used_count"));
  EXPECT_GT(told.n_read, 0);
}

TEST_F(RuntimeTest, PoliciesAreRefusedBeforeAWeightIsRead) {
  Told told;
  const RoutingPolicy bad{.experts_decode = {{.k = 1000}}};
  testing::expect_refused(
      [&] {
        open_model(file(), {.policies = {{}, bad}}, told.notes());
      },
      "more experts than");
  EXPECT_EQ(told.n_read, 0);
}

TEST_F(RuntimeTest, GivesTheTokensOfAPlainEngineOnAnyDevices) {
  Engine plain(*model_, {});
  const std::vector<int32_t> expected = run(plain);
  for (const char* devices : {"none", "fake:2"}) {
    Told told;
    Runtime runtime(*model_, {.devices = {.devices = devices}, .engine = {.n_ctx = 64}}, told.notes());
    EXPECT_EQ(run(runtime.engine()), expected) << devices;
    EXPECT_EQ(Told::any_contains(told.info, "fake1: weights"), std::string(devices) == "fake:2");
    EXPECT_TRUE(told.warnings.empty()) << told.warnings.front();
  }
}

TEST_F(RuntimeTest, WarnsOfWhatMayNotBeMeant) {
  Told told;
  const int64_t n_ctx = model_->hparams().n_ctx_train + 1;
  const Runtime runtime(*model_,
                        {.devices = {.devices = "none", .placement = {.n_gpu_layers = 3}},
                         .engine = {.forward = {.explain = true}, .n_ctx = n_ctx}},
                        told.notes());
  EXPECT_TRUE(Told::any_contains(told.warnings, "-ngl has no effect"));
  EXPECT_TRUE(Told::any_contains(told.warnings, "longer than the model was trained for"));
  EXPECT_TRUE(Told::any_contains(told.info, "attention")) << "the kernels' explanation";
}

TEST_F(RuntimeTest, MeasuredModelsResolveEveryPolicy) {
  const RoutingPolicy policies[] = {{}, {.experts_prefill = {{.k = 1}}, .experts_decode = {{.k = 6}}}};
  MeasuredModel measured(*model_, {.devices = {.devices = "none"}, .n_ctx = 32}, policies);
  const auto k = [&](size_t index, Phase phase) {
    return measured.policies().at(measured.policy(index, phase), 0).k;
  };
  EXPECT_EQ(k(0, Phase::Prefill), model_->moe_layers().front().router.n_expert_used);
  EXPECT_EQ(k(1, Phase::Prefill), 1);
  EXPECT_EQ(k(1, Phase::Decode), 6);
  EXPECT_EQ(measured.policies().experts_max(), 6);
  EXPECT_EQ(measured.forward().options().n_ctx, 32);
}

TEST_F(RuntimeTest, GenerateEndsByLengthInterruptAndStop) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(model_->file());
  Runtime runtime(*model_, {.devices = {.devices = "none"}});
  Speeds speeds;
  std::string shown;
  const Generated whole = generate(
      runtime.engine(), tokenizer, greedy(),
      {.text = {.special = true}, .sink = [&](std::string_view text, bool) { shown += text; }}, speeds);
  EXPECT_EQ(whole.finish, Finish::Length);
  EXPECT_EQ(shown, whole.reasoning + whole.text);
  EXPECT_EQ(speeds.n_prompt, 4);
  EXPECT_EQ(speeds.n_decode, 11);

  int n_asked = 0;
  const Generated part =
      generate(runtime.engine(), tokenizer, greedy(),
               {.text = {.special = true}, .interrupted = [&] { return ++n_asked == 4; }}, speeds);
  EXPECT_EQ(part.finish, Finish::Cancelled);
  EXPECT_TRUE(whole.text.starts_with(part.text));
  EXPECT_LT(part.text.size(), whole.text.size());

  ASSERT_GT(whole.text.size(), 8u);
  const std::string stop = whole.text.substr(6, 2);
  const Generated stopped =
      generate(runtime.engine(), tokenizer, greedy(), {.text = {.stops = {stop}, .special = true}}, speeds);
  EXPECT_EQ(stopped.finish, Finish::Stop);
  EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find(stop)));
}

TEST_F(RuntimeTest, AnInterruptEndsAPassBetweenBlocks) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(model_->file());
  for (const char* devices : {"none", "fake:2"}) {
    int n_asked = 0, stop_at = 1 << 30;
    Runtime runtime(*model_,
                    {.devices = {.devices = devices},
                     .engine = {.forward = {.stop = [&] { return ++n_asked >= stop_at; }}, .n_ctx = 64}});
    const auto ask = [&] {
      Speeds speeds;
      return generate(runtime.engine(), tokenizer, greedy(), {.text = {.special = true}}, speeds);
    };
    n_asked = 0;  // of warming up
    const Generated whole = ask();
    const int n_block = model_->hparams().n_run_block();
    EXPECT_EQ(n_asked, 12 * n_block) << "a prompt and 11 tokens, asked before each block";
    for (const int block : {0, 1, n_block - 1}) {
      for (const int step : {0, 3}) {
        n_asked = 0, stop_at = step * n_block + block + 1;
        const Generated part = ask();
        EXPECT_EQ(part.finish, Finish::Cancelled);
        EXPECT_EQ(part.n_token, step);
        EXPECT_EQ(n_asked, stop_at) << "nothing was computed after it";
        stop_at = 1 << 30;
        EXPECT_EQ(ask().text, whole.text)
            << devices << ", after an end in step " << step << ", block " << block;
      }
    }
  }
}

TEST(Limits, NameTheOption) {
  limits::kParallel.check("n_parallel", 4096);
  testing::expect_refused([] { limits::kParallel.check("n_parallel", 0); },
                          "option out of range: n_parallel: expected 1 to 4096, got 0");
}

}  // namespace
}  // namespace sw
