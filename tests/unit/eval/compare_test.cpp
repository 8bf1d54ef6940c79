// SPDX-License-Identifier: MIT
#include <fstream>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "eval/plot.h"
#include "eval/routing_report.h"
#include "support/cache_rig.h"
#include "support/stats_probe.h"
#include "support/tiny_model.h"

namespace sw {
namespace {

class CompareTest : public testing::TinyLing {
 protected:
  void SetUp() override {
    TinyLing::SetUp();
    if (!model_) return;  // skipped
    policies_ = std::make_unique<PolicyTable>(model_->moe_layers(), model_->hparams().n_layer, 4, 8);
    forward_ = std::make_unique<Forward>(*model_, *policies_, ForwardOptions{.n_ubatch = 32, .n_ctx = 64});
    for (int i = 0; i < 100; ++i) tokens_.push_back((i * 37 + i * i) % 500);
  }
  ResolvedPolicy resolve(const std::string& name) {
    const NamedPolicy named = parse_policy_list(name)[0];
    return {
        name,
        {policies_->resolve(named.policy, Phase::Prefill), policies_->resolve(named.policy, Phase::Decode)}};
  }

  std::unique_ptr<PolicyTable> policies_;
  std::unique_ptr<Forward> forward_;
  std::vector<int32_t> tokens_;
};

TEST_F(CompareTest, EachPolicyHasThePerplexityThatItHasAlone) {
  const std::vector<ResolvedPolicy> policies{resolve("default"), resolve("experts=4"), resolve("experts=1")};
  const PerplexityOptions options{.n_ctx = 16};
  const SweepOptions speed{.n_kv_max = 16, .n_prefill = 16, .n_decode = 4};
  const std::vector<PolicyRow> rows = compare_policies(*forward_, *model_, tokens_, options, policies, speed);
  ASSERT_EQ(rows.size(), 3u);
  for (size_t i = 0; i < rows.size(); ++i) {
    PerplexityOptions alone = options;
    alone.policy = policies[i].use.prefill;
    EXPECT_EQ(rows[i].perplexity.value, measure_perplexity(*forward_, *model_, tokens_, alone).value);
    EXPECT_EQ(rows[i].divergence.n, rows[i].perplexity.n_scored);
  }
  EXPECT_EQ(rows[1].divergence.kl_max, 0) << "4 experts are the model's own";
  EXPECT_GT(rows[2].divergence.kl_mean, 0);
  EXPECT_LT(rows[2].speed.decode_weight_bytes, rows[0].speed.decode_weight_bytes) << "hard: bytes fall";
  EXPECT_NE(comparison_table(rows).find("| experts=1 |"), std::string::npos);
}

/// Weights are added up from the choices of experts; the CPU's own count must say the same.
TEST_F(CompareTest, WeightsATokenAreThoseThatAreRead) {
  for (const char* name : {"default", "experts=1", "standard+experts=2"}) {
    const uint16_t policy = resolve(name).use.decode;
    uint64_t told = 0;
    sweep_bench(*forward_, *model_,
                {.n_kv_max = 16, .n_prefill = 16, .n_decode = 5, .policies = {{.decode = policy}}},
                [&](const SweepRow& row) { told = row.decode_weight_bytes; });
    testing::CacheRig cache(*forward_, Forward::cache_plan(*model_, 16, Type::F16));
    const OpCounters before = forward_->counters();
    cache.step({.id = 3, .policy = policy});
    const OpCounters spent = forward_->counters() - before;
    EXPECT_EQ(told, spent.dense_bytes + spent.expert_bytes) << name;
  }
}

TEST_F(CompareTest, SweepRowsBeginWhereTheCacheEnds) {
  std::vector<int64_t> n_kv;
  sweep_bench(*forward_, *model_, {.n_kv_max = 50, .n_prefill = 16, .n_decode = 20},
              [&](const SweepRow& row) {
                n_kv.push_back(row.n_kv);
                EXPECT_GT(row.prefill.median_s, 0);
                EXPECT_GT(row.decode.median_s, 0);
                EXPECT_EQ(row.n_decode, 20);
              });
  EXPECT_EQ(n_kv, (std::vector<int64_t>{0, 16, 32}));
  EXPECT_THROW(sweep_bench(*forward_, *model_, {.n_kv_max = 8, .n_prefill = 16, .n_decode = 1}, {}), Error);
}

/// The same tokens through the same calls, put together by hand: what a sweep of several sequences says of
/// its weights is what such steps read, each sequence at its own place and with the policy that it was dealt.
TEST_F(CompareTest, EachSequenceOfABatchHasItsOwnPlaceAndPolicy) {
  constexpr int32_t kSeq = 3;
  const SweepOptions options{.n_kv_max = 8,
                             .n_prefill = 8,
                             .n_decode = 5,
                             .n_seq = kSeq,
                             .policies = {resolve("default").use, resolve("experts=1").use},
                             .mix = true};
  std::vector<uint64_t> told;
  const auto forward = std::make_unique<Forward>(
      *model_, *policies_, ForwardOptions{.n_ubatch = 10, .n_logit_row = kSeq, .n_seq = kSeq, .n_ctx = 64});
  sweep_bench(*forward, *model_, options, [&](const SweepRow& row) {
    told.push_back(row.decode_weight_bytes);
    EXPECT_EQ(row.n_seq, kSeq);
    EXPECT_DOUBLE_EQ(row.prefill_rate(), 3 * 8 / row.prefill.median_s);
    EXPECT_DOUBLE_EQ(row.decode_rate(), 3 * 5 / row.decode.median_s);
  });
  Rng rng(1);
  const auto n_vocab = static_cast<uint64_t>(model_->hparams().n_vocab);
  for (size_t c = 0; c < options.n_case(); ++c) {
    testing::CacheRig cache(*forward, Forward::cache_plan(*model_, 16, Type::F16, kSeq));
    const OpCounters before = forward->counters();
    for (int32_t pos = 0; pos < options.n_decode; ++pos) {
      std::vector<BatchToken> tokens;
      for (int32_t s = 0; s < kSeq; ++s) {
        const size_t policy = c < 2 ? c : static_cast<size_t>(s % 2);
        tokens.push_back({.id = static_cast<int32_t>(rng.below(n_vocab)),
                          .pos = pos,
                          .seq = s,
                          .policy = options.policies[policy].decode});
      }
      constexpr int32_t kRows[] = {0, 1, 2};
      cache.step(tokens, kRows);
    }
    const OpCounters spent = forward->counters() - before;
    EXPECT_EQ(told.at(c), (spent.dense_bytes + spent.expert_bytes) / (3 * 5)) << c;
    for (int64_t i = 0; i < kSeq * (1 + options.n_prefill); ++i) rng.below(n_vocab);  // what else warms up
  }
  EXPECT_LT(told[1], told[2]);
  EXPECT_LT(told[2], told[0]);
}

/// Windows and states go back with their sequences, prompts are cut where a u-batch is full.
using SweepOfManyTest = testing::TinyModel;

TEST_F(SweepOfManyTest, ModelsWithWindowsAndStates) {
  for (const char* golden : {"gpt_oss", "lfm2_moe"}) {
    load(golden);
    if (IsSkipped()) return;
    const PolicyTable policies(model_->moe_layers(), model_->hparams().n_layer, 4, 2);
    Forward forward(*model_, policies, {.n_ubatch = 10, .n_logit_row = 3, .n_seq = 3, .n_ctx = 64});
    std::vector<int64_t> n_kv;
    sweep_bench(forward, *model_, {.n_kv_max = 20, .n_prefill = 7, .n_decode = 5, .n_seq = 3, .n_round = 2},
                [&](const SweepRow& row) { n_kv.push_back(row.n_kv); });
    EXPECT_EQ(n_kv, (std::vector<int64_t>{0, 7})) << golden;
  }
}

TEST(MixCost, IsOverTheMeanOfWhatIsMixed) {
  const auto row = [](double prefill_s, double decode_s) {
    return SweepRow{.n_seq = 3, .prefill = {.median_s = prefill_s}, .decode = {.median_s = decode_s}};
  };
  // Two of three sequences have the first policy.
  const SweepRow rows[] = {row(1, 6), row(4, 3), row(2, 5.5)};
  EXPECT_DOUBLE_EQ(mix_cost(rows).prefill, 0);
  EXPECT_NEAR(mix_cost(rows).decode, 0.1, 1e-12);
}

TEST_F(CompareTest, PoliciesOfASweepTakeTurns) {
  std::vector<std::pair<int64_t, size_t>> rows;
  sweep_bench(*forward_, *model_,
              {.n_kv_max = 32,
               .n_prefill = 16,
               .n_decode = 2,
               .policies = {{}, {.decode = resolve("experts=1").use.decode}},
               .n_round = 3},
              [&](const SweepRow& row) {
                rows.emplace_back(row.n_kv, row.policy);
                EXPECT_GE(row.decode.spread, 0);
              });
  EXPECT_EQ(rows, (std::vector<std::pair<int64_t, size_t>>{{0, 0}, {0, 1}, {16, 0}, {16, 1}}));
}

TEST(Timing, IsTheMedianAndHalfOfTheRange) {
  const Timing odd = timing_of({3, 1, 2}), even = timing_of({1, 4, 2, 3});
  EXPECT_DOUBLE_EQ(odd.median_s, 2);
  EXPECT_DOUBLE_EQ(odd.spread, 0.5);
  EXPECT_DOUBLE_EQ(even.median_s, 2.5);
  EXPECT_DOUBLE_EQ(even.spread, 0.6);
  EXPECT_EQ(timing_of({7}).spread, 0);
}

TEST_F(CompareTest, StatisticsAreKeptBetweenRuns) {
  StatsProbe probe(*model_, 4);
  PerplexityOptions options{.n_ctx = 16, .n_chunk = 1};
  options.probe = &probe;
  measure_perplexity(*forward_, *model_, tokens_, options);
  const auto path = folder() / "stats.json";
  const StatsOrigin origin{.model = "tiny", .policy = "its own"};
  write_stats(probe.stats(), origin, path);
  RoutingStats twice = read_stats(path, origin, model_->moe_layers());
  EXPECT_EQ(stats_table(twice), stats_table(probe.stats()));
  twice.merge(probe.stats());
  EXPECT_EQ(twice.layers()[0].n_tokens, 32u);
  const std::string svg = heat_map_svg(twice, "a < b");
  EXPECT_EQ(svg.find("<svg"), 0u);
  for (const char* part : {">Expert load, 32 tokens<", ">a &lt; b<", ">layer<", ">4 or more<"})
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  EXPECT_THROW(read_stats(path, {.model = "tiny", .policy = "two experts"}, model_->moe_layers()), Error);
  EXPECT_THROW(read_stats(path, {.model = "large", .policy = "its own"}, model_->moe_layers()), Error);

  std::vector<MoeLayer> others = model_->moe_layers();
  others[0].router.n_expert *= 2;
  EXPECT_THROW(read_stats(path, origin, others), Error) << "another model's";
  std::ofstream(path) << "{\"kind\": \"something\"}";
  EXPECT_THROW(read_stats(path, origin, model_->moe_layers()), Error);
  std::ofstream(path) << "no JSON";
  EXPECT_THROW(read_stats(path, origin, model_->moe_layers()), Error);
}

TEST_F(CompareTest, ATraceHoldsEveryTokensExperts) {
  RoutingTrace trace(model_->moe_layers());
  PerplexityOptions options{.n_ctx = 16, .n_chunk = 2};
  options.probe = &trace;
  measure_perplexity(*forward_, *model_, tokens_, options);
  trace.write(folder() / "trace.safetensors");
  const Safetensors file(folder() / "trace.safetensors");
  const std::string name = "layer" + std::to_string(model_->moe_layers()[0].layer);
  EXPECT_EQ(file.require(name + ".topk_ids").shape, (Shape{32, 4}));
  EXPECT_EQ(file.require(name + ".topk_weights").dtype, StDtype::F16);
}

TEST(ComparePlain, AJumpBetweenGroupedAndStandardIsWorthAWarning) {
  const PolicyRow grouped{.name = "default", .perplexity = {.value = 10}},
      near{.name = "standard", .perplexity = {.value = 10.4}},
      far{.name = "standard", .perplexity = {.value = 34.9}};
  EXPECT_FALSE(perplexity_jump(grouped, near));
  EXPECT_TRUE(perplexity_jump(grouped, far));
}

TEST(Plot, NamesAreEscapedAndEmptyPlotsAreDrawn) {
  const std::string svg =
      draw_plots(std::vector<Plot>{{"a < b", "x", "y", {{"one & two", {{0, 1}, {10, 5}}}}}, {}}, "on a > b");
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  EXPECT_NE(svg.find("one &amp; two"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace sw
