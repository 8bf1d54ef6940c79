// SPDX-License-Identifier: MIT
// Wherever a model's operations and single experts are placed, the logits are the same. Fake devices lock
// their memory while another device works, so that a pointer taken to the wrong device ends the test.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "model/placed_model.h"
#include "support/cache_rig.h"
#include "support/closeness.h"
#include "support/gpus.h"
#include "support/tiny_model.h"

namespace sw {
namespace {

constexpr int kPlacements = 200;
constexpr float kTolerance = 2e-5f;     // of logits of about 1: sums over devices end in another order
constexpr float kGpuTolerance = 1e-3f;  // a GPU's sums have their own order everywhere

Placement random_placement(const Model& model, int n_device, Rng& rng) {
  const auto slot = [&] { return static_cast<int>(rng.below(static_cast<uint64_t>(n_device))); };
  Placement placement{.embed = slot(), .head = slot()};
  for (int l = 0; l < model.hparams().n_run_block(); ++l) {
    BlockPlacement layer{.attention = slot(), .ffn = slot(), .shared = slot()};
    if (has_experts(model, l)) {
      for (int e = 0; e < model.hparams().moe.n_expert; ++e) layer.experts.push_back(slot());
    }
    placement.blocks.push_back(layer);
  }
  return placement;
}

class PlacementTest : public testing::TinyModel {
 protected:
  void SetUp() override { set_up("bailing_moe_v2"); }

  void set_up(const std::string& name) {
    load(name);
    if (!model_) return;  // skipped
    policies_.emplace(model_->moe_layers(), model_->hparams().n_layer,
                      experts_needed(model_->moe_layers(), {}), 1);
  }

  /// Two sequences, a prompt in two parts and then single tokens: all logits, one after the other.
  std::vector<float> run(const PlacedModel* placed) {
    Forward forward(*model_, *policies_, {.n_ubatch = 16, .n_seq = 2, .n_ctx = 128, .placed = placed});
    testing::CacheRig cache(forward, Forward::cache_plan(*model_, 128, Type::F32, 2));
    std::vector<float> all;
    int32_t pos = 0;
    for (const int n : {7, 5, 1, 1}) {
      std::vector<BatchToken> batch;
      for (int s = 0; s < 2; ++s) {
        for (int i = 0; i < n; ++i)
          batch.push_back({.id = (s * 251 + (pos + i) * 37) % 512, .pos = pos + i, .seq = s});
      }
      pos += n;
      const std::vector<int32_t> rows = {0, n - 1, 2 * n - 1};
      const TensorView<const float> logits = cache.step(batch, rows);
      for (int64_t r = 0; r < logits.n_rows(); ++r)
        all.insert(all.end(), logits.row(r), logits.row(r) + logits.n_cols());
    }
    n_sent_ = forward.n_sent();
    return all;
  }

  void check_random_placements(const Devices& devices, float tolerance, int n_placement = kPlacements) {
    const std::vector<float> expected = run(nullptr);
    Rng rng(4);
    for (int i = 0; i < n_placement; ++i) {
      const PlacedModel placed(*model_, devices,
                               random_placement(*model_, static_cast<int>(devices.size()), rng));
      ASSERT_LE(testing::largest_error(run(&placed), expected), tolerance) << "placement " << i;
    }
  }

  std::optional<PolicyTable> policies_;
  uint64_t n_sent_ = 0;
};

TEST_F(PlacementTest, RandomPlacementsGiveTheSameLogits) {
  check_random_placements(open_devices("fake:3"), kTolerance);
}

TEST_F(PlacementTest, RandomPlacementsOnGpusGiveTheSameLogits) {
  SW_GPUS_OR_SKIP(devices);
  check_random_placements(devices, kGpuTolerance);
}

/// Families whose layers differ: latent attention, blocks beside which experts run, windows, a dense start,
/// states.
class FamilyPlacementTest : public PlacementTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override { set_up(GetParam()); }
};

TEST_P(FamilyPlacementTest, RandomPlacementsGiveTheSameLogits) {
  check_random_placements(open_devices("fake:3"), kTolerance, 36);
}

TEST_P(FamilyPlacementTest, BlocksOnOneDeviceAreExact) {
  const std::vector<float> expected = run(nullptr);
  const Devices devices = open_devices("fake:2");
  for (int n_block = 0; n_block <= model_->hparams().n_run_block() + 1; ++n_block) {
    const PlacedModel placed(*model_, devices, place(*model_, devices, {.n_gpu_layers = n_block}));
    EXPECT_EQ(run(&placed), expected) << "-ngl " << n_block;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyPlacementTest,
                         ::testing::Values("deepseek_v3", "longcat_flash", "gpt_oss", "glm4_moe", "lfm2_moe"),
                         [](const auto& info) { return std::string(info.param); });

TEST_F(PlacementTest, LayersOnOneDeviceAreExact) {
  const std::vector<float> expected = run(nullptr);
  const Devices devices = open_devices("fake:2");
  for (const int n_layer : {0, 1, 2, 3, 4, 99}) {
    const PlacedModel placed(*model_, devices, place(*model_, devices, {.n_gpu_layers = n_layer}));
    EXPECT_EQ(run(&placed), expected) << "-ngl " << n_layer;  // nothing is summed over devices
  }
}

TEST_F(PlacementTest, ExpertsElsewhereAreSentOnceThereAndBack) {
  const Devices devices = open_devices("fake:1");
  const PlacedModel placed(*model_, devices, place(*model_, devices, {.cpu_moe = true}));
  run(&placed);
  EXPECT_EQ(n_sent_, 4u * 2 * 2);  // steps, MoE layers, there and back
}

TEST_F(PlacementTest, FlagsMeanWhatTheySay) {
  const Devices devices = open_devices("fake:2");
  const auto slots = [&](const PlacementOptions& options) {
    const Placement p = place(*model_, devices, options);
    std::string text = std::to_string(p.embed);
    for (const BlockPlacement& l : p.blocks) {
      text += " " + std::to_string(l.attention) + std::to_string(l.ffn);
      if (!l.experts.empty())
        text +=
            std::to_string(l.shared) + std::to_string(l.experts.front()) + std::to_string(l.experts.back());
    }
    return text + " " + std::to_string(p.head);
  };
  EXPECT_EQ(slots({}), "1 11 11111 22222 2");
  EXPECT_EQ(slots({.n_gpu_layers = 0}), "0 00 00000 00000 0");
  EXPECT_EQ(slots({.n_gpu_layers = 2, .main_gpu = 1}), "0 00 00000 11111 2");
  EXPECT_EQ(slots({.cpu_moe = true}), "1 11 11100 22200 2");
  EXPECT_EQ(slots({.n_cpu_moe = 2}), "1 11 11100 22222 2");
  EXPECT_EQ(slots({.split_layers = false, .main_gpu = 1}), "2 22 22222 22222 2");
  EXPECT_EQ(slots({.tensor_split = {3, 1}}), "1 11 11111 11111 2");
}

TEST_F(PlacementTest, PatternsMoveOperationsAndSingleExperts) {
  const Devices devices = open_devices("fake:2");
  std::vector<std::string> hits;
  const Placement p = place(*model_, devices,
                            {.overrides = {{"blk\\.1\\.exps\\.(3|15)$", "fake2"},
                                           {"ffn_(up|down)_exps", "cpu"},
                                           {"attn_norm", "fake2"}},
                             .split_layers = false},
                            &hits);
  EXPECT_EQ(p.blocks[1].experts[3], 2);
  EXPECT_EQ(p.blocks[1].experts[15], 2);
  EXPECT_EQ(p.blocks[1].experts[0], 0);  // two of its three matrices were sent there
  EXPECT_EQ(p.blocks[2].experts[3], 0);
  EXPECT_EQ(p.blocks[0].attention, 1);  // the norm alone does not move the attention
  EXPECT_EQ(hits, (std::vector<std::string>{"-ot blk\\.1\\.exps\\.(3|15)$=fake2: 2 experts -> fake2",
                                            "-ot ffn_(up|down)_exps=cpu: 4 tensors -> CPU",
                                            "-ot attn_norm=fake2: 3 tensors -> fake2"}));
}

/// "exps" names the stacks and every single expert, which has nothing to add.
TEST_F(PlacementTest, OnlyExpertsThatLeaveTheirLayerAreTold) {
  const Devices devices = open_devices("fake:2");
  using Lines = std::vector<std::string>;
  const auto hits = [&](const std::vector<PlacementOverride>& overrides) {
    Lines lines;
    place(*model_, devices, {.overrides = overrides, .split_layers = false}, &lines);
    return lines;
  };
  EXPECT_EQ(hits({{"exps", "CPU"}}), Lines{"-ot exps=CPU: 6 tensors -> CPU"});  // 2 MoE layers, 3 stacks
  EXPECT_EQ(hits({{"blk\\.1\\.exps\\.3$", "fake1"}}),
            Lines{"-ot blk\\.1\\.exps\\.3$=fake1: experts that are there already"});
  EXPECT_EQ(hits({{"exps\\.3$", "fake1"}, {"exps", "CPU"}}),
            (Lines{"-ot exps\\.3$=fake1: 2 experts -> fake1", "-ot exps=CPU: 6 tensors -> CPU"}));
}

TEST_F(PlacementTest, NonsenseIsOneLine) {
  const Devices devices = open_devices("fake:2");
  const auto refusal = [&](const PlacementOptions& options) -> std::string {
    try {
      place(*model_, devices, options);
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({.overrides = {{"expz", "CPU"}}}), "the pattern matches no tensor: -ot expz=CPU");
  EXPECT_EQ(refusal({.overrides = {{"exps", "CUDA7"}}}),
            "there is no such device: -ot exps=CUDA7: expected CPU, fake1, fake2, got CUDA7");
  EXPECT_NE(refusal({.overrides = {{"exps(", "CPU"}}}).find("not a regular expression"), std::string::npos);
  EXPECT_NE(refusal({.main_gpu = 2}).find("--main-gpu"), std::string::npos);
  EXPECT_NE(refusal({.tensor_split = {1, 1, 1}}).find("more shares than GPUs"), std::string::npos);
  EXPECT_NE(refusal({.tensor_split = {0, 0}}).find("--tensor-split"), std::string::npos);
  EXPECT_THROW(parse_placement_override("exps"), Error);
  EXPECT_THROW(open_devices("fake:1000"), Error);
  EXPECT_THROW(open_devices("CUDA99"), Error);
}

}  // namespace
}  // namespace sw
