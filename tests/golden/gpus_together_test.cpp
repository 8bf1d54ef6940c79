// SPDX-License-Identifier: MIT
// Passes that run ahead of each other, and layers over several GPUs: the bits of one GPU, pass by pass.
#include <gtest/gtest.h>

#include "model/placed_model.h"
#include "support/cache_rig.h"
#include "support/gpus.h"
#include "support/test_data.h"

namespace sw {
namespace {

constexpr int kPrompt = 333, kSteps = 40, kUbatch = 32, kContext = kPrompt + kPrompt / 3 + kSteps;

/// Whether each pass of a prompt is waited for.
enum class Prompt : uint8_t { PassByPass, RunsAhead };

struct Outcome {
  std::vector<float> logits = {};
  int n_recorded = 0;
};

/// A prompt in passes of kUbatch tokens, then token by token: logits of the prompt's last token and of each
/// step.
Outcome outcome(const Model& model, const PlacedModel& placed, Prompt prompt) {
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model.moe_layers(), {}),
                       1);
  ForwardOptions options{.n_ubatch = kUbatch, .n_seq = 1, .n_ctx = kContext, .placed = &placed};
  options.invariant = placed.options().invariant;
  Forward forward(model, policies, options);
  testing::CacheRig cache(forward, Forward::cache_plan(model, kContext, Type::F16));
  Outcome out;
  const auto keep = [&](TensorView<const float> logits) {
    out.logits.insert(out.logits.end(), logits.row(0), logits.row(0) + logits.n_cols());
  };
  int32_t pos = 0;
  const auto compute_prompt = [&](int32_t n) {
    std::vector<BatchToken> tokens;
    for (const int32_t end = pos + n; pos < end; ++pos) {
      tokens.push_back({.id = 7 * pos % 500, .pos = pos});
      const auto last = static_cast<int32_t>(tokens.size()) - 1;
      if (pos + 1 == end) {
        keep(cache.step(tokens, {&last, 1}));
      } else if (tokens.size() == kUbatch) {
        if (prompt == Prompt::PassByPass) {
          cache.step(tokens, {&last, 1});
        } else {
          cache.run(tokens);
        }
        tokens.clear();
      }
    }
  };
  const auto decode = [&](int n) {
    for (int i = 0; i < n; ++i, ++pos) keep(cache.step({.id = 11 * pos % 500, .pos = pos}));
  };
  compute_prompt(kPrompt);
  decode(kSteps / 2);
  compute_prompt(kPrompt / 3);  // behind a recorded step
  decode(kSteps / 2);
  out.n_recorded = forward.n_recorded();
  return out;
}

std::filesystem::path story_model() { return testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf"; }

TEST(PromptsRunAhead, SameBitsOnFakes) {
  const Model model(story_model());
  const Devices devices = open_devices("fake:2");
  const PlacedModel placed(model, devices, place(model, devices, {}));
  EXPECT_TRUE(outcome(model, placed, Prompt::RunsAhead).logits ==
              outcome(model, placed, Prompt::PassByPass).logits);
}

class GpusTogether : public ::testing::TestWithParam<bool> {};

TEST_P(GpusTogether, LayersOverAllChangeNoBit) {
  SW_GPUS_OR_SKIP(devices);
  const Model model(story_model());
  const ProgramOptions program{.invariant = GetParam()};
  const PlacedModel one(model, devices, place(model, devices, {.split_layers = false}), program);
  const Outcome expected = outcome(model, one, Prompt::PassByPass);
  EXPECT_EQ(expected.n_recorded, 1);
  EXPECT_TRUE(outcome(model, one, Prompt::RunsAhead).logits == expected.logits) << "one GPU";
  for (const std::optional<int> main_gpu : {std::optional<int>(), std::optional(0)}) {
    const PlacedModel all(model, devices, place(model, devices, {.main_gpu = main_gpu}), program);
    for (const Prompt prompt : {Prompt::PassByPass, Prompt::RunsAhead}) {
      const Outcome got = outcome(model, all, prompt);
      EXPECT_TRUE(got.logits == expected.logits) << "all GPUs";
      EXPECT_EQ(got.n_recorded, devices.back()->open_way(*devices[1]).empty() ? 1 : 0);
    }
  }
}

TEST_P(GpusTogether, CopiesThroughTheProcessorChangeNoBit) {
  std::string why;
  const Devices direct = open_devices("", &why), indirect = open_devices("", &why, PeerAccess::Refused);
  if (direct.size() < 3) GTEST_SKIP() << "needs two GPUs";
  const Model model(story_model());
  const ProgramOptions program{.invariant = GetParam()};
  // Layers over both, and of each layer's experts every other one on the second.
  for (const PlacementOptions& options :
       {PlacementOptions{.tensor_split = {1, 1}},
        PlacementOptions{.overrides = {{R"(\.exps\.[0-9]*[13579]$)", "CUDA1"}}, .tensor_split = {1, 1}}}) {
    const PlacedModel here(model, direct, place(model, direct, options), program);
    const PlacedModel there(model, indirect, place(model, indirect, options), program);
    const Outcome expected = outcome(model, here, Prompt::PassByPass);
    const Outcome got = outcome(model, there, Prompt::RunsAhead);
    EXPECT_TRUE(got.logits == expected.logits);
    EXPECT_EQ(got.n_recorded, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, GpusTogether, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Invariant" : "Fast"; });

}  // namespace
}  // namespace sw
