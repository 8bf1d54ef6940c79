// SPDX-License-Identifier: MIT
// What a model compiles to under a placement, on made-up hyperparameters.
#include "model/program.h"

#include <gtest/gtest.h>

#include "model/cache_groups.h"
#include "model/compile.h"
#include "model/memory_plan.h"
#include "support/refusal.h"
#include "unit/model/made_up_model.h"

namespace sw {
namespace {

using testing::expect_refused;
using testing::made_up_devices;
using testing::MadeUpModel;

Program program_of(const MadeUpModel& model, const Placement& placement, int n_gpu = 1) {
  return compile(model.view(), made_up_devices(n_gpu), placement, {});
}
Program program_of(const MadeUpModel& model, const PlacementOptions& options = {}, int n_gpu = 1) {
  return program_of(model, place(model.view(), made_up_devices(n_gpu), options), n_gpu);
}

/// The instructions of one layer (-1: before the first), without kernels' names: "attention@1 route@1 ...".
std::string layer_of(const Program& program, int layer) {
  std::string text;
  int at = -1;
  for (const Instruction& instruction : program.layers) {
    if (at == layer) text += (text.empty() ? "" : " ") + short_name(instruction);
    const auto* shown = std::get_if<program::ShowHidden>(&instruction);
    const bool ends = (shown && shown->part < 0) || std::holds_alternative<program::Embed>(instruction);
    at += ends;
  }
  return text;
}

TEST(Compile, OnOneDeviceNothingIsSent) {
  const Program program = program_of(MadeUpModel("bailingmoe2"), PlacementOptions{}, 0);
  EXPECT_EQ(layer_of(program, -1), "embed@0");
  EXPECT_EQ(layer_of(program, 0), "attention@0 ffn@0 show");
  EXPECT_EQ(layer_of(program, 1), "attention@0 route@0 show experts@0 show");
  EXPECT_TRUE(program.to_head.empty());
  EXPECT_EQ(program.head.device, 0);
  EXPECT_EQ(program.n_slot, 2);
}

TEST(Compile, SharedExpertsAddToTheResidual) {
  const Program program =
      program_of(MadeUpModel("deepseek2",
                             [](HParams& h) {
                               h.moe.n_expert_shared = 1;
                               h.moe.n_ff_shared = 32;
                               h.mla = {.kv_rank = 16, .key_dim = 32, .nope_dim = 16, .value_dim = 16};
                             }),
                 PlacementOptions{});
  EXPECT_EQ(layer_of(program, 1), "mla@1 route@1 show experts@1 ffn@1:normed show");
}

/// The GPU's shared work is queued before the CPU begins with its experts, which wait for the routing alone.
TEST(Compile, ExpertsOnTheCpuAreOneExchangeThereAndBack) {
  const Program program = program_of(MadeUpModel("bailingmoe2"), {.cpu_moe = true});
  EXPECT_EQ(layer_of(program, 1),
            "attention@1 route@1 show mark@1 send:routed@1>0 mark@1 await@1:mark zero@0 experts@0:part "
            "mark@0 send:part@0>1 add@1 show");
}

TEST(Compile, TheResidualMovesOnceBetweenBlocks) {
  const Program program = program_of(MadeUpModel("bailingmoe2"), {.n_gpu_layers = 2});
  EXPECT_EQ(layer_of(program, 2), "attention@0 route@0 show experts@0 show");
  EXPECT_EQ(layer_of(program, 3), "mark@0 send:residual@0>1 attention@1 route@1 show experts@1 show");
  EXPECT_TRUE(program.to_head.empty());
  const Program back = program_of(MadeUpModel("bailingmoe2"), {.overrides = {{"^output", "CPU"}}});
  ASSERT_EQ(back.to_head.size(), 3u);
  EXPECT_EQ(short_name(back.to_head[1]), "send:residual@1>0");
  EXPECT_EQ(short_name(back.to_head[2]), "await@1");  // the CPU reads what a GPU wrote
}

TEST(Compile, EveryDeviceRunsItsExpertsAndTheRouterAddsThem) {
  const MadeUpModel model("bailingmoe2");
  Placement placement = place(model.view(), made_up_devices(2), {.split_layers = false});
  placement.blocks[1].experts = {0, 1, 2, 2, 1, 1, 1, 1};
  const Program program = program_of(model, placement, 2);
  EXPECT_EQ(layer_of(program, 1),
            "attention@1 route@1 show mark@1 send:routed@1>0 send:routed@1>2 mark@1 experts@1 zero@2 "
            "experts@2:part await@1:mark zero@0 experts@0:part mark@0 send:part@0>1 add@1 mark@2 "
            "send:part@2>1 add@1 show");
}

/// LongCat's experts run beside the second half of their layer.
TEST(Compile, DeferredExpertsJoinAtTheEndOfTheLayer) {
  const MadeUpModel model("longcat-flash", [](HParams& h) {
    h.blocks_per_layer = 2;
    h.n_layer = 2;
    h.mla = {.kv_rank = 16, .key_dim = 32, .nope_dim = 16, .value_dim = 16};
    h.moe.n_layer_dense_lead = 0;
    h.moe.n_expert_zero = 4;
  });
  const Program alone = program_of(model, PlacementOptions{}, 0);
  EXPECT_EQ(layer_of(alone, 0),
            "mla@0 route@0 show zero@0 experts@0:part ffn@0:normed show mla@0 ffn@0 add@0 show");
  const Program split = program_of(model, {.cpu_moe = true});
  EXPECT_EQ(layer_of(split, 0),
            "mla@1 route@1 show mark@1 send:routed@1>0 mark@1 zero@1 ffn@1:normed show mla@1 ffn@1 "
            "await@1:mark zero@0 experts@0:part add@1 mark@0 send:part@0>1 add@1 show");
}

TEST(Compile, EveryWeightIsReadByAnOperation) {
  for (const char* name :
       {"bailingmoe2", "qwen3moe", "glm4moe", "gpt-oss", "olmoe", "llama", "qwen2", "qwen3"}) {
    const MadeUpModel model(name, [](HParams& h) { h.moe.n_layer_dense_lead = 0; });
    const Program program = program_of(model, PlacementOptions{}, 0);
    size_t bytes = 0;
    for (int block = kOfModel; block < model.hparams().n_run_block(); ++block) {
      for (const TensorItem& t : model.tensors(block)) {
        const WeightView w = model.weight(t.role, block);
        if (!w.empty()) bytes += w.size_bytes();
      }
    }
    EXPECT_EQ(weight_bytes(program, 1).front().as_stored, bytes) << name;
  }
}

/// LFM2-MoE: blocks that mix tokens in two ways, each with its group of the cache.
TEST(Compile, ConvolutionsAndAttentionShareAModel) {
  const MadeUpModel model("lfm2moe", [](HParams& h) {
    h.short_conv.n_tap = 3;
    h.attention.layers = {0, 1, 0, 1};
  });
  const Program program = program_of(model, PlacementOptions{}, 0);
  EXPECT_EQ(layer_of(program, 0), "short_conv@0 ffn@0 show");
  EXPECT_EQ(layer_of(program, 1), "attention@0 route@0 show experts@0 show");
  EXPECT_EQ(layer_of(program, 2), "short_conv@0 route@0 show experts@0 show");
  const std::vector<CacheGroup> groups = cache_groups(model.view().arch, model.hparams());
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].kind, CacheKind::State);
  EXPECT_EQ(groups[0].state_floats, 2 * 64);
  EXPECT_EQ(groups[0].blocks, (std::vector<int>{0, 2}));
  EXPECT_EQ(groups[1].kind, CacheKind::Pages);
  EXPECT_EQ(groups[1].blocks, (std::vector<int>{1, 3}));
}

TEST(Needs, FollowFromInstructions) {
  const BatchSizes sizes{.n_token = 8, .n_logit_row = 2, .n_thread = 2};
  const Program program = program_of(MadeUpModel("bailingmoe2"), {.cpu_moe = true});
  const std::vector<DeviceNeeds> needs = needs_of(program, 3, sizes);
  EXPECT_TRUE(needs[0].used && needs[0].routed && needs[0].part && !needs[0].head);
  EXPECT_TRUE(needs[1].used && needs[1].routed && needs[1].part && needs[1].head);
  EXPECT_EQ(needs[2], DeviceNeeds{});
  const auto alone = needs_of(program_of(MadeUpModel("bailingmoe2"), PlacementOptions{}, 0), 1, sizes);
  EXPECT_FALSE(alone[0].part);
  EXPECT_GT(alone[0].scratch_bytes, 0u);
}

TEST(Arrays, AreCountedAsTheyAreTaken) {
  const Program program = program_of(MadeUpModel("bailingmoe2"), {.cpu_moe = true});
  const MadeUpModel model("bailingmoe2");
  const BatchLimits limits = batch_limits(model.view(), program, {.n_ubatch = 8, .n_seq = 2}, {.n_row = 6});
  const auto needs = needs_of(program, 2, {.n_token = 8, .n_logit_row = 64, .n_thread = 1});
  const DeviceArrays counted(needs[1], limits, 1, false);
  std::vector<std::byte> memory(counted.size_bytes);
  const DeviceArrays taken(needs[1], limits, 1, false, memory.data());
  EXPECT_EQ(taken.size_bytes, counted.size_bytes);
  const auto* last = reinterpret_cast<const std::byte*>(taken.masks);
  EXPECT_LE(last, memory.data() + memory.size());
  EXPECT_EQ(taken.residual.n_rows(), 8);
}

TEST(Explain, EqualLayersStandOnce) {
  const std::string text = explain(program_of(MadeUpModel("bailingmoe2"), PlacementOptions{}, 0));
  EXPECT_NE(text.find("(and 2 like this)"), text.npos) << text;
}

class Plan : public ::testing::Test {
 protected:
  MadeUpModel model_{"bailingmoe2"};
  PlanInput input_{.forward = {.n_ubatch = 8, .n_seq = 1},
                   .experts_max = 2,
                   .policies = {.n_row = 3},
                   .cache = plan_cache(cache_groups(model_.view().arch, model_.hparams()), {.n_token = 64})};

  std::string chosen(uint64_t free_bytes, const PlacementOptions& options = {}) {
    const auto devices = made_up_devices(1, free_bytes);
    const Placement p = choose_placement(model_.view(), devices, options, input_);
    std::string text = std::to_string(p.embed);
    for (const BlockPlacement& b : p.blocks)
      text += " " + std::to_string(b.attention) + (b.experts.empty() ? "" : std::to_string(b.experts[0]));
    return text + " " + std::to_string(p.head);
  }
  /// What the plan needs of the GPU, with what it keeps free.
  uint64_t need(const PlacementOptions& options) {
    const auto devices = made_up_devices(1);
    const Placement p = place(model_.view(), devices, options);
    return plan_memory(model_.view(), devices, p, input_)[1].size_bytes() + (uint64_t{256} << 20);
  }
};

TEST_F(Plan, CountsEachWeightOnItsDevice) {
  const auto devices = made_up_devices(1);
  const auto all = plan_memory(model_.view(), devices, place(model_.view(), devices, {}), input_);
  const auto none =
      plan_memory(model_.view(), devices, place(model_.view(), devices, {.n_gpu_layers = 0}), input_);
  EXPECT_EQ(all[0].size_bytes(), 0u);
  EXPECT_EQ(none[1].size_bytes(), 0u);
  EXPECT_EQ(all[1].weight_bytes, none[0].weight_bytes);
  EXPECT_EQ(all[1].cache_bytes, none[0].cache_bytes);
  const auto experts =
      plan_memory(model_.view(), devices, place(model_.view(), devices, {.cpu_moe = true}), input_);
  EXPECT_EQ(experts[0].weight_bytes, size_t{3} * 3 * 8 * 64 * 32 * sizeof(float));
  EXPECT_EQ(experts[0].weight_bytes + experts[1].weight_bytes, all[1].weight_bytes);
}

TEST_F(Plan, ExpertsLeaveFirstThenBlocks) {
  EXPECT_EQ(chosen(need({})), "1 1 11 11 11 1");
  EXPECT_EQ(chosen(need({}) - 1), "1 1 10 11 11 1");
  EXPECT_EQ(chosen(need({.n_cpu_moe = 4})), "1 1 10 10 10 1");
  EXPECT_EQ(chosen(need({.n_gpu_layers = 2, .n_cpu_moe = 4})), "0 0 00 00 10 1");
  EXPECT_EQ(chosen(1), "0 0 00 00 00 0");
}

TEST_F(Plan, WhatTheUserSaidIsRefusedWhereItDoesNotFit) {
  EXPECT_EQ(chosen(need({.n_gpu_layers = 3}), {.n_gpu_layers = 3}), "0 0 00 11 11 1");
  EXPECT_THROW(chosen(need({.n_gpu_layers = 3}) - 1, {.n_gpu_layers = 3}), SystemError);
}

TEST_F(Plan, GpusRefuseCachesThatTheyDoNotRead) {
  auto devices = made_up_devices(1);
  const auto check = [&](CacheType type, const PlacementOptions& options = {}) {
    input_.cache.type = type;
    check_cache_types(devices, place(model_.view(), devices, options), input_.cache);
  };
  check({Type::BF16, Type::F16});  // fake devices are the CPU
  devices[1].kind = DeviceKind::Cuda;
  check(Type::F16);
  check(Type::F32);
  check({Type::BF16, Type::F16}, {.n_gpu_layers = 1});  // the head alone
  const std::string line =
      "a GPU keeps keys and values in f16 or in f32, both alike: gpu1: expected -ctk f16 -ctv f16, or f32, "
      "got keys "
      "in f16, values in f32 (the CPU takes every type: --device none";
  expect_refused([&] { check({Type::F16, Type::F32}); }, line);
  expect_refused([&] { choose_placement(model_.view(), devices, {}, input_); }, line);
  expect_refused([&] { check(Type::BF16, {.n_gpu_layers = 2}); }, "got keys in bf16, values in bf16");
}

}  // namespace
}  // namespace sw
