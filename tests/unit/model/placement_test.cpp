// SPDX-License-Identifier: MIT
#include "model/placement.h"

#include <gtest/gtest.h>

#include "support/refusal.h"
#include "unit/model/made_up_model.h"

namespace sw {
namespace {

using testing::made_up_devices;
using testing::MadeUpModel;

/// "embed | attention ffn [shared, first and last expert] ... | head", a digit per device.
std::string text_of(const Placement& p) {
  std::string text = std::to_string(p.embed) + " |";
  for (const BlockPlacement& b : p.blocks) {
    text += " " + std::to_string(b.attention) + std::to_string(b.ffn);
    if (b.experts.empty()) continue;
    text += std::to_string(b.shared) + std::to_string(b.experts.front()) + std::to_string(b.experts.back());
  }
  return text + " | " + std::to_string(p.head);
}

std::string placed(const PlacementOptions& options, int n_gpu = 1) {
  const MadeUpModel model("bailingmoe2");
  return text_of(place(model.view(), made_up_devices(n_gpu), options));
}

TEST(Place, WithoutAGpuEverythingIsOnTheCpu) {
  EXPECT_EQ(placed({}, 0), "0 | 00 00000 00000 00000 | 0");
  EXPECT_EQ(placed({.n_gpu_layers = 99}, 0), "0 | 00 00000 00000 00000 | 0");
}

TEST(Place, TheLastBlocksGoFirst) {
  EXPECT_EQ(placed({}), "1 | 11 11111 11111 11111 | 1");
  EXPECT_EQ(placed({.n_gpu_layers = 0}), "0 | 00 00000 00000 00000 | 0");
  EXPECT_EQ(placed({.n_gpu_layers = 1}), "0 | 00 00000 00000 00000 | 1");
  EXPECT_EQ(placed({.n_gpu_layers = 2}), "0 | 00 00000 00000 11111 | 1");
  EXPECT_EQ(placed({.n_gpu_layers = 4}), "0 | 00 11111 11111 11111 | 1");
  EXPECT_EQ(placed({.n_gpu_layers = 5}), "1 | 11 11111 11111 11111 | 1");
  EXPECT_EQ(placed({.n_gpu_layers = 99}), "1 | 11 11111 11111 11111 | 1");
}

TEST(Place, ExpertsStayOnTheCpu) {
  EXPECT_EQ(placed({.cpu_moe = true}), "1 | 11 11100 11100 11100 | 1");
  EXPECT_EQ(placed({.n_cpu_moe = 1}), "1 | 11 11111 11111 11111 | 1");  // the first block is dense
  EXPECT_EQ(placed({.n_cpu_moe = 3}), "1 | 11 11100 11100 11111 | 1");
  EXPECT_EQ(placed({.n_gpu_layers = 2, .cpu_moe = true}), "0 | 00 00000 00000 11100 | 1");
}

TEST(Place, BlocksAreSharedByFreeMemoryOrAsAsked) {
  EXPECT_EQ(placed({}, 2), "1 | 11 11111 22222 22222 | 2");
  EXPECT_EQ(placed({.tensor_split = {3, 1}}, 2), "1 | 11 11111 11111 11111 | 2");
  EXPECT_EQ(placed({.tensor_split = {3, 1}, .main_gpu = 0}, 2), "1 | 11 11111 11111 11111 | 1");
  EXPECT_EQ(placed({.tensor_split = {0, 1}}, 2), "2 | 22 22222 22222 22222 | 2");
  EXPECT_EQ(placed({.tensor_split = {1}}, 2), "1 | 11 11111 11111 11111 | 1");
  EXPECT_EQ(placed({.main_gpu = 1}, 2), "1 | 11 11111 22222 22222 | 2");
  EXPECT_EQ(placed({.split_layers = false, .main_gpu = 1}, 2), "2 | 22 22222 22222 22222 | 2");
  EXPECT_EQ(placed({}, 3), "1 | 11 11111 22222 33333 | 3");
  EXPECT_EQ(placed({.n_gpu_layers = 1}, 2), "0 | 00 00000 00000 00000 | 1");
  EXPECT_EQ(placed({.n_gpu_layers = 1, .tensor_split = {0, 1}}, 2), "0 | 00 00000 00000 00000 | 2");
  const MadeUpModel model("bailingmoe2");
  std::vector<DeviceFacts> devices = made_up_devices(2, 100);
  devices[2].free_bytes = 900;
  EXPECT_EQ(text_of(place(model.view(), devices, {})), "2 | 22 22222 22222 22222 | 2");
}

TEST(Place, PatternsMoveOperations) {
  EXPECT_EQ(placed({.overrides = {{"exps", "CPU"}}}), "1 | 11 11100 11100 11100 | 1");
  EXPECT_EQ(placed({.overrides = {{"blk\\.2\\..*exps", "CPU"}}}), "1 | 11 11111 11100 11111 | 1");
  EXPECT_EQ(placed({.overrides = {{"token_embd", "CPU"}}}), "0 | 11 11111 11111 11111 | 1");
  EXPECT_EQ(placed({.overrides = {{"^output", "cpu"}}}), "1 | 11 11111 11111 11111 | 0");
  EXPECT_EQ(placed({.overrides = {{"blk\\.0\\.ffn", "CPU"}}}), "1 | 10 11111 11111 11111 | 1");
  EXPECT_EQ(placed({.overrides = {{"attn", "CPU"}}}), "1 | 01 01111 01111 01111 | 1");
  // The norm alone is outvoted by the matrices.
  EXPECT_EQ(placed({.overrides = {{"attn_norm", "CPU"}}}), "1 | 11 11111 11111 11111 | 1");
  // The first pattern that is found counts.
  EXPECT_EQ(placed({.overrides = {{"blk\\.1\\..*exps", "gpu1"}, {"exps", "CPU"}}}),
            "1 | 11 11111 11100 11100 | 1");
}

TEST(Place, PatternsMoveSingleExperts) {
  const MadeUpModel model("bailingmoe2");
  std::vector<std::string> hits;
  const Placement p =
      place(model.view(), made_up_devices(2),
            {.overrides = {{"blk\\.1\\.exps\\.(3|7)$", "gpu2"}}, .split_layers = false}, &hits);
  EXPECT_EQ(p.blocks[1].experts, (std::vector<int>{1, 1, 1, 2, 1, 1, 1, 2}));
  EXPECT_EQ(p.blocks[2].experts, std::vector<int>(8, 1));
  EXPECT_EQ(hits, std::vector<std::string>{"-ot blk\\.1\\.exps\\.(3|7)$=gpu2: 2 experts -> gpu2"});
}

TEST(Place, ADenseModelHasNoExpertsToMove) {
  const MadeUpModel model("llama", [](HParams& h) { h.moe = {}; });
  EXPECT_EQ(text_of(place(model.view(), made_up_devices(1), {.cpu_moe = true})), "1 | 11 11 11 11 | 1");
  testing::expect_refused(
      [&] {
        place(model.view(), made_up_devices(1), {.overrides = {{"exps", "CPU"}}});
      },
      "the pattern matches no tensor: -ot exps=CPU");
}

TEST(Place, NonsenseIsRefused) {
  const auto refuses = [](const PlacementOptions& options, const std::string& part) {
    testing::expect_refused([&] { placed(options, 2); }, part);
  };
  refuses({.main_gpu = 2}, "--main-gpu");
  refuses({.tensor_split = {1, 1, 1}}, "more shares than GPUs");
  refuses({.tensor_split = {0, 0}}, "the GPUs' shares are all 0");
  refuses({.overrides = {{"exps", "CUDA7"}}}, "-ot exps=CUDA7");
  refuses({.overrides = {{"(", "CPU"}}}, "not a regular expression: -ot (=CPU");
  refuses({.overrides = {{"nothing", "CPU"}}}, "-ot nothing=CPU");
}

/// Patterns of users may be hostile to an engine that recurses.
TEST(Place, ALongPatternIsNoTrouble) {
  const std::string pattern = "(" + std::string(20000, 'a') + "|exps)";
  EXPECT_EQ(placed({.overrides = {{pattern, "CPU"}}}), "1 | 11 11100 11100 11100 | 1");
}

}  // namespace
}  // namespace sw
