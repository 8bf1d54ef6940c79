// SPDX-License-Identifier: MIT
// Every family on GPUs against the outputs of its original Python. Skipped aloud where there is no GPU.
#include <gtest/gtest.h>

#include "eval/routing_report.h"
#include "golden/golden_models.h"
#include "support/allocations.h"
#include "support/cache_rig.h"
#include "support/gpus.h"

namespace sw {
namespace {

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_GPUS_OR_SKIP(devices);
    devices_ = std::move(devices);
  }
  Devices devices_;
};

class GpuModelTest : public GpuTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(GpuModelTest, TraceEqualsThePythonInEveryPlaceThatUsersChoose) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  SW_RUNS_ON_GPUS_OR_SKIP(*golden.model);
  std::vector<PlacementOptions> places = {{}, {.n_gpu_layers = 2}};
  if (!golden.model->moe_layers().empty()) {
    places.push_back({.cpu_moe = true});
    places.push_back({.overrides = {{"exps", "CPU"}}});
    if (devices_.size() > 2) places.push_back({.overrides = {{R"(\.exps\.[0-9]*[13579]$)", "CUDA1"}}});
  }
  for (const PlacementOptions& options : places) {
    const PlacedModel placed(*golden.model, devices_, place(*golden.model, devices_, options));
    for (const int64_t n_ubatch : {int64_t{1}, int64_t{7}, kAll})
      expect_golden(golden, "seq0", {.n_ubatch = n_ubatch, .placed = &placed}, kGpuTolerance);
  }
}

TEST_P(GpuModelTest, GreedyIdsEqualThePython) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  SW_RUNS_ON_GPUS_OR_SKIP(*golden.model);
  const PlacedModel placed(*golden.model, devices_, place(*golden.model, devices_, {}));
  EXPECT_EQ(greedy(golden, {.placed = &placed}), golden.ints("greedy.ids"));
}

INSTANTIATE_TEST_SUITE_P(Models, GpuModelTest, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& info) { return std::string(info.param); });

/// Decode steps of a kind that is recorded and replayed where all is on GPUs, and of one that is not.
TEST_F(GpuTest, StepsAllocateNothing) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const Golden golden(folder);
  const Model& model = *golden.model;
  constexpr int kSteps = 10'000;
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model.moe_layers(), {}),
                       1);
  for (const PlacementOptions& options :
       {PlacementOptions{.split_layers = false}, PlacementOptions{.cpu_moe = true, .split_layers = false},
        PlacementOptions{}, PlacementOptions{.cpu_moe = true}}) {
    const PlacedModel placed(model, devices_, place(model, devices_, options));
    Forward forward(model, policies, {.n_ubatch = 8, .n_seq = 1, .n_ctx = kSteps + 8, .placed = &placed});
    testing::CacheRig cache(forward, Forward::cache_plan(model, kSteps + 8, Type::F16));
    const auto step = [&](int32_t pos) { return cache.step({.id = pos % 512, .pos = pos}).at(0, 0); };
    step(0);
    const uint64_t free_before = devices_[1]->memory().free_bytes, allocations = testing::n_allocation();
    float sum = 0;
    for (int32_t i = 1; i <= kSteps; ++i) sum += step(i);
    EXPECT_EQ(testing::n_allocation(), allocations)
        << "experts on the CPU: " << options.cpu_moe << ", layers over all GPUs: " << options.split_layers;
    EXPECT_EQ(devices_[1]->memory().free_bytes, free_before);
    EXPECT_TRUE(std::isfinite(sum));
  }
}

/// Decoding while each token brings another policy: one recording, and what the same calls give one by one.
TEST_F(GpuTest, OneRecordingServesEveryPolicy) {
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  const PlacedModel placed(model, devices_, place(model, devices_, {.split_layers = false}),
                           {.experts_max = 8});
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, 8, 16);
  std::vector<uint16_t> ids;
  for (const char* name :
       {"default", "standard", "experts=1", "experts=8", "threshold=1:0.4", "standard+experts=2"})
    ids.push_back(policies.resolve(parse_policy_list(name)[0].policy, Phase::Decode));
  constexpr int kSteps = 60;
  // Of each step's logits; with a probe nothing is recorded.
  const auto decode = [&](ForwardProbe* probe) {
    Forward forward(model, policies, {.n_ubatch = 8, .n_seq = 1, .n_ctx = kSteps, .placed = &placed});
    testing::CacheRig cache(forward, Forward::cache_plan(model, kSteps, Type::F16));
    std::vector<float> all;
    for (int32_t i = 0; i < kSteps; ++i) {
      const BatchToken token{
          .id = 7 * i % 1000, .pos = i, .policy = ids[static_cast<size_t>(i) % ids.size()]};
      const TensorView<const float> logits = cache.step(token, probe);
      all.insert(all.end(), logits.row(0), logits.row(0) + logits.n_cols());
    }
    EXPECT_EQ(forward.n_recorded(), probe ? 0 : 1);
    EXPECT_GT(forward.counters().dense_bytes, kSteps * model.weight_bytes() / 10)
        << "replayed steps count too";
    return all;
  };
  ForwardProbe looks_on;
  EXPECT_TRUE(decode(nullptr) == decode(&looks_on));
}

/// What a profile says of a GPU: as many bytes as on the CPU, and times that fit into the whole.
TEST_F(GpuTest, AProfileReadsWhatTheCpuReads) {
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  const PolicyTable policies(model.moe_layers(), model.hparams().n_layer, 4, 1);
  const auto profile = [&](const PlacedModel& placed, bool count_routing) {
    Forward forward(model, policies,
                    {.n_ubatch = 32, .n_ctx = 64, .count_routing = count_routing, .placed = &placed});
    testing::CacheRig cache(forward, Forward::cache_plan(model, 64, Type::F16));
    Profile profile(placed);
    forward.set_profile(&profile);
    for (int32_t i = 0; i < 20; ++i) cache.step({.id = 7 * i, .pos = i});
    EXPECT_EQ(forward.n_recorded(), 0);
    return profile.summary();
  };
  const PlacedModel gpu(model, devices_, place(model, devices_, {.split_layers = false}));
  const auto bytes = [](const ProfileSummary& summary, const char* operation) {
    for (const ProfileRow& row : summary.rows)
      if (row.operation == operation) return row.weight_bytes;
    return std::optional<uint64_t>();
  };
  const ProfileSummary counted = profile(gpu, true);
  const ProfileSummary cpu = profile(*PlacedModel::on_cpu(model), false);
  for (const char* operation : {"embed", "attention", "route", "head"})
    EXPECT_EQ(bytes(counted, operation), bytes(cpu, operation)) << operation;
  // The shared expert goes along with the others on a GPU, and is an ffn on the CPU. A router that rounds
  // otherwise may choose another expert.
  const auto networks = [&](const ProfileSummary& summary) {
    return static_cast<double>(bytes(summary, "ffn").value() + bytes(summary, "experts").value());
  };
  EXPECT_NEAR(networks(counted), networks(cpu), 0.01 * networks(cpu));
  EXPECT_EQ(bytes(profile(gpu, false), "experts"), std::nullopt);
  double seconds = 0;
  for (const ProfileRow& row : counted.rows) seconds += row.device == 0 ? 0 : row.seconds;
  EXPECT_GT(seconds, 0);
  EXPECT_LE(seconds, 1.001 * counted.wall_s);
}

/// The table of `routing --compare`: what the CPU says, within 0.1 %.
TEST_F(GpuTest, PoliciesCompareAsOnTheProcessor) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const Golden golden(folder);
  const Model& model = *golden.model;
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, 8, 32);
  std::vector<ResolvedPolicy> compared;
  for (const char* name : {"default", "standard", "standard+experts=8", "experts=3", "experts=2", "experts=1",
                           "threshold=1:0.3", "standard+threshold=2:0.5"}) {
    const RoutingPolicy policy = parse_policy_list(name)[0].policy;
    compared.push_back(
        {name, {policies.resolve(policy, Phase::Prefill), policies.resolve(policy, Phase::Decode)}});
  }
  std::vector<int32_t> tokens;
  for (int i = 0; i < 512; ++i) tokens.push_back((i * 37 + i * i) % 500);
  const PlacedModel placed(model, devices_, place(model, devices_, {}),
                           {.experts_max = policies.experts_max()});
  const auto table = [&](const PlacedModel* where) {
    Forward forward(model, policies,
                    {.n_thread = 2, .n_ubatch = 128, .n_seq = 1, .n_ctx = 256, .placed = where});
    const SweepOptions speed{.n_kv_max = 128, .n_prefill = 128, .n_decode = 16};
    return compare_policies(forward, model, tokens, {.n_ctx = 128}, compared, speed);
  };
  const std::vector<PolicyRow> cpu = table(nullptr), gpu = table(&placed);
  ASSERT_EQ(cpu.size(), gpu.size());
  for (size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_NEAR(gpu[i].perplexity.value / cpu[i].perplexity.value, 1, 1e-3) << cpu[i].name;
    EXPECT_NEAR(static_cast<double>(gpu[i].speed.decode_weight_bytes),
                static_cast<double>(cpu[i].speed.decode_weight_bytes),
                2e-2 * static_cast<double>(cpu[i].speed.decode_weight_bytes))
        << cpu[i].name;
  }
}

TEST_F(GpuTest, WhatDoesNotFitIsRefusedWithAdvice) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const Golden golden(folder);
  EngineOptions options{.n_ctx = int64_t{1} << 34};
  const PlanInput input = plan_input(*golden.model, options);
  try {
    choose_placement(FileWeights(*golden.model).view(), facts_of(devices_), {.n_gpu_layers = 99}, input);
    FAIL() << "it was taken";
  } catch (const SystemError& e) {
    EXPECT_NE(std::string(e.what()).find("does not fit"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("--cpu-moe"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace sw
