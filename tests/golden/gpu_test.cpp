// SPDX-License-Identifier: MIT
// Every family on GPUs against the outputs of its original Python. Skipped aloud where there is no GPU.
#include <gtest/gtest.h>

#include "golden/golden_models.h"
#include "support/allocations.h"

namespace sw {
namespace {

constexpr Tolerance kGpu{.logits = 1e-3f, .weights = 1e-4f, .states = 1e-3f};

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    devices_ = open_devices("", &why);
    if (devices_.size() == 1) GTEST_SKIP() << why;
  }
  Devices devices_;
};

class GpuModelTest : public GpuTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(GpuModelTest, TraceEqualsThePythonInEveryPlaceThatUsersChoose) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  std::vector<PlacementOptions> places = {{}, {.n_gpu_layers = 2}};
  if (!golden.model->moe_layers().empty()) {
    places.push_back({.cpu_moe = true});
    places.push_back({.overrides = {{"exps", "CPU"}}});
  }
  for (const PlacementOptions& options : places) {
    const PlacedModel placed(*golden.model, devices_, place(*golden.model, devices_, options));
    for (const int64_t n_ubatch : {int64_t{1}, int64_t{7}, kAll})
      expect_golden(golden, "seq0", {.n_ubatch = n_ubatch, .placed = &placed}, kGpu);
  }
}

TEST_P(GpuModelTest, GreedyIdsEqualThePython) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  const PlacedModel placed(*golden.model, devices_, place(*golden.model, devices_, {}));
  EXPECT_EQ(greedy(golden, {.placed = &placed}), golden.ints("greedy.ids"));
}

INSTANTIATE_TEST_SUITE_P(Models, GpuModelTest, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& info) { return std::string(info.param); });

/// Decode steps of a kind that is recorded and replayed where all is on one GPU, and of one that is not.
TEST_F(GpuTest, StepsAllocateNothing) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const Golden golden(folder);
  const Model& model = *golden.model;
  constexpr int kSteps = 10'000;
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model, {}), 1);
  for (const bool cpu_moe : {false, true}) {
    const PlacedModel placed(model, devices_,
                             place(model, devices_, {.cpu_moe = cpu_moe, .split_layers = false}));
    Forward forward(model, policies, {.n_ubatch = 8, .n_seq = 1, .n_ctx = kSteps + 8, .placed = &placed});
    PagedCache cache = forward.make_cache(Forward::cache_spec(model, kSteps + 8, Type::F16));
    BlockTable table(cache, kSteps + 8);
    ASSERT_TRUE(table.resize(kSteps + 8));
    BlockTable* const tables[] = {&table};
    const int32_t row = 0;
    const auto step = [&](int32_t pos) {
      const BatchToken token{.id = pos % 512, .pos = pos};
      return forward.step({&token, 1}, tables, cache, {&row, 1}).at(0, 0);
    };
    step(0);
    const uint64_t free_before = devices_[1]->memory().free_bytes, allocations = testing::n_allocation();
    float sum = 0;
    for (int32_t i = 1; i <= kSteps; ++i) sum += step(i);
    EXPECT_EQ(testing::n_allocation(), allocations) << "experts on the processor: " << cpu_moe;
    EXPECT_EQ(devices_[1]->memory().free_bytes, free_before);
    EXPECT_TRUE(std::isfinite(sum));
  }
}

TEST_F(GpuTest, WhatDoesNotFitIsRefusedWithAdvice) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const Golden golden(folder);
  EngineOptions options{.n_ctx = int64_t{1} << 34};
  const PolicyTable policies = Engine::make_policies(*golden.model, options);
  const PlanInput input = Engine::plan_input(*golden.model, options, policies);
  try {
    choose_placement(*golden.model, devices_, {.n_gpu_layers = 99}, input);
    FAIL() << "it was taken";
  } catch (const SystemError& e) {
    EXPECT_NE(std::string(e.what()).find("does not fit"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("--cpu-moe"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace sw
