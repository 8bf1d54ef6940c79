// SPDX-License-Identifier: MIT
// Every variant of every coarse operation against the scalar reference, on random weights of every format.
#include "kernels/ops.h"

#include <cmath>
#include <gtest/gtest.h>

#include "bench.h"

namespace sw {
namespace {
using namespace testing;

constexpr int64_t kEmbd = 256, kFf = 512, kToken = 9;
constexpr int kExperts = 8, kZero = 3, kSlots = 4;

struct Case {
  Type type;
  double bound;  ///< on the error's share of the result's power, as a root
};

std::vector<Case> cases() {
  std::vector<Case> all;
#define SW_TYPE(name, id)                          \
  if (kEmbd % traits(Type::name).block_elems == 0) \
    all.push_back({Type::name, traits(Type::name).quantized ? 0.02 : 2e-5});
#include "quant/types.inc"
#undef SW_TYPE
  return all;
}

void expect_close(const std::vector<float>& got, const std::vector<float>& expected, double bound) {
  double error = 0, power = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (static_cast<double>(got[i]) - expected[i]) * (static_cast<double>(got[i]) - expected[i]);
    power += static_cast<double>(expected[i]) * expected[i];
  }
  EXPECT_LE(std::sqrt(error / power), bound);
}

class OpsTest : public ::testing::TestWithParam<Case> {
 protected:
  /// Runs `call(bound op, residual)` with the reference and with the best kernels; compares the residuals.
  template <class Desc, class Call>
  void compare(Bench& bench, const Desc& desc, const std::vector<float>& start, Call&& call) {
    std::vector<float> results[2];
    for (const bool reference : {true, false}) {
      std::vector<float> x = start;
      const auto op = bind_op(desc, reference ? kReference : BindOptions{.limit = isa_limit()});
      OpContext context = bench.context();
      call(op, TensorView<float>(x.data(), kToken, kEmbd), context);
      results[reference] = x;
    }
    expect_close(results[false], results[true], GetParam().bound);
  }
};

TEST_P(OpsTest, Ffn) {
  Bench bench;
  const Type type = GetParam().type;
  const std::vector<float> start = bench.values(kToken * kEmbd);
  for (const bool normed : {false, true}) {
    const FfnDesc desc{.norm = normed ? bench.values(kEmbd).data() : nullptr,
                       .rms_eps = 1e-6f,
                       .gate = bench.linear(type, {kFf, kEmbd}),
                       .up = bench.linear(type, {kFf, kEmbd}),
                       .down = bench.linear(type, {kEmbd, kFf})};
    compare(bench, desc, start,
            [](const auto& op, TensorView<float> x, OpContext& context) { op({.x = x, .out = x}, context); });
  }
}

ExpertsDesc experts(Bench& bench, Type type) {
  return {.gate = bench.experts(type, {kExperts, kFf, kEmbd}),
          .up = bench.experts(type, {kExperts, kFf, kEmbd}),
          .down = bench.experts(type, {kExperts, kEmbd, kFf}),
          .n_slot = kSlots};
}

TEST_P(OpsTest, ExpertsWithBiasesAndClampedActivations) {
  Bench bench;
  ExpertsDesc desc = experts(bench, GetParam().type);
  desc.gate.bias = bench.values(kExperts * kFf).data();
  desc.up.bias = bench.values(kExperts * kFf).data();
  desc.down.bias = bench.values(kExperts * kEmbd).data();
  desc.swiglu_limit = 0.5f;  // many are beyond it
  const TensorView<float> normed = bench.matrix(kToken, kEmbd);
  const std::vector<float> start = bench.values(kToken * kEmbd);
  MixedRouting routing(bench.rng, kToken, kSlots, kExperts, kZero);
  compare(bench, desc, start, [&](const auto& op, TensorView<float> x, OpContext& context) {
    op({.x = normed, .routing = routing.view(), .out = x}, context);
  });
}

TEST_P(OpsTest, Experts) {
  Bench bench;
  const ExpertsDesc desc = experts(bench, GetParam().type);
  const TensorView<float> normed = bench.matrix(kToken, kEmbd);
  const std::vector<float> start = bench.values(kToken * kEmbd);
  MixedRouting routing(bench.rng, kToken, kSlots, kExperts, kZero);
  compare(bench, desc, start, [&](const auto& op, TensorView<float> x, OpContext& context) {
    op({.x = normed, .routing = routing.view(), .out = x}, context);
  });
}

constexpr int kHead = 64, kHeads = 4, kKvHeads = 2;

/// The fused matrix cut into those of queries, keys and values, of which the queries' has another format.
AttentionDesc apart(Bench& bench, AttentionDesc desc, bool all_heads) {
  const Type type = desc.qkv.weight.type;
  desc.qkv = bench.linear(Type::F32, {kHeads * kHead, kEmbd});
  desc.k = bench.linear(type, {kKvHeads * kHead, kEmbd});
  desc.v = bench.linear(type, {kKvHeads * kHead, kEmbd});
  if (!all_heads) return desc;
  desc.k_bias = bench.values(kKvHeads * kHead).data();
  desc.v_bias = bench.values(kKvHeads * kHead).data();
  desc.norm_all_heads = true;
  desc.window = 3;
  desc.sinks = bench.values(kHeads).data();
  desc.out_bias = bench.values(kEmbd).data();
  desc.q_norm = bench.values(kHeads * kHead).data();
  desc.k_norm = bench.values(kKvHeads * kHead).data();
  return desc;
}

TEST_P(OpsTest, Attention) {
  Bench bench;
  const Type type = GetParam().type;
  constexpr int64_t kPage = 4, kPages = 8;
  for (const int form : {0, 1, 2, 3}) {
    const bool extras = form % 2 == 1;
    AttentionDesc desc{.n_head = kHeads,
                       .n_head_kv = kKvHeads,
                       .head_dim = kHead,
                       .value_dim = kHead,
                       .n_rot = extras ? 32 : 64,
                       .rope_neighbours = extras,
                       .rms_eps = 1e-6f,
                       .norm = bench.values(kEmbd).data(),
                       .qkv = bench.linear(type, {(kHeads + 2 * kKvHeads) * kHead, kEmbd}),
                       .qkv_bias = extras ? bench.values((kHeads + 2 * kKvHeads) * kHead).data() : nullptr,
                       .q_norm = extras ? bench.values(kHead).data() : nullptr,
                       .k_norm = extras ? bench.values(kHead).data() : nullptr,
                       .out = bench.linear(type, {kEmbd, kHeads * kHead})};
    if (form >= 2) desc = apart(bench, desc, extras);
    // Two sequences with their pages in disorder; the second starts in the middle of its third page.
    const int32_t first[] = {5, 0}, second[] = {3, 7, 1, 2};
    const int32_t* tables[] = {first, second};
    std::vector<float> cache(2 * kPages * kPage * kKvHeads * kHead, 0.25f);
    const std::vector<float>& cos = bench.values(kToken * desc.n_rot / 2);
    const std::vector<float>& sin = bench.values(kToken * desc.n_rot / 2);
    const int32_t seq[kToken] = {0, 0, 0, 0, 0, 1, 1, 1, 1}, pos[kToken] = {0, 1, 2, 3, 4, 9, 10, 11, 12};
    const TokenBatch batch{.n_token = kToken,
                           .pos = pos,
                           .seq = seq,
                           .block_tables = tables,
                           .rope_cos = cos.data(),
                           .rope_sin = sin.data()};
    auto* base = reinterpret_cast<std::byte*>(cache.data());
    const KvLayerView kv{.k = base,
                         .v = base + cache.size() / 2 * sizeof(float),
                         .type = Type::F32,
                         .page_tokens = kPage,
                         .page_stride_bytes = kKvHeads * kPage * kHead * sizeof(float),
                         .head_stride_bytes = kPage * kHead * sizeof(float)};
    compare(bench, desc, bench.values(kToken * kEmbd),
            [&](const auto& op, TensorView<float> x, OpContext& context) {
              op({.batch = batch, .kv = kv, .x = x}, context);
            });
  }
}

TEST_P(OpsTest, HeadAndEmbed) {
  Bench bench;
  const HeadDesc head{.norm = bench.values(kEmbd).data(),
                      .rms_eps = 1e-6f,
                      .output = bench.linear(GetParam().type, {kFf, kEmbd})};
  const TensorView<float> x = bench.matrix(kToken, kEmbd);
  const int32_t rows[] = {7, 0, 3}, ids[] = {4, 511, 0};
  std::vector<float> logits[2], embedded[2];
  for (const bool reference : {true, false}) {
    const BindOptions options = reference ? kReference : BindOptions{.limit = isa_limit()};
    const TensorView<float> normed = bench.matrix(3, kEmbd), out = bench.matrix(3, kFf),
                            tokens = bench.matrix(3, kEmbd);
    OpContext context = bench.context();
    bind_op(head, options)({.x = x, .rows = rows, .normed = normed, .logits = out}, context);
    bind_op(EmbedDesc{.table = head.output.weight}, options)(
        {.batch = {.n_token = 3, .ids = ids}, .out = tokens}, context);
    logits[reference] = copy(out);
    embedded[reference] = copy(tokens);
  }
  expect_close(logits[false], logits[true], GetParam().bound);
  EXPECT_EQ(embedded[false], embedded[true]);
}

TEST_P(OpsTest, Route) {
  Bench bench;
  const RouterSpec spec{.score = Score::Sigmoid,
                        .n_expert = kExperts,
                        .n_expert_used = 2,
                        .n_group = 4,
                        .n_group_used = 2,
                        .renorm = true};
  const PolicyTable policies({{0, spec}}, 1, 2, 1);
  const RouteDesc desc{.norm = bench.values(kEmbd).data(),
                       .rms_eps = 1e-6f,
                       .router = bench.linear(Type::F32, {kExperts, kEmbd}),
                       .logit_bias = bench.values(kExperts).data(),
                       .spec = spec,
                       .policies = &policies};
  const TensorView<float> x = bench.matrix(kToken, kEmbd);
  const uint16_t policy[kToken] = {};
  std::vector<float> logits[2], weights[2];
  std::vector<int32_t> ids[2];
  for (const bool reference : {true, false}) {
    const TensorView<float> normed = bench.matrix(kToken, kEmbd), out = bench.matrix(kToken, kExperts);
    ids[reference].resize(kToken * 2);
    weights[reference].resize(kToken * 2);
    std::vector<int32_t> n_active(kToken);
    Routing routing{{ids[reference].data(), kToken, 2}, {weights[reference].data(), kToken, 2}, n_active};
    OpContext context = bench.context();
    const auto op = bind_op(desc, reference ? kReference : BindOptions{.limit = isa_limit()});
    op({.batch = {.n_token = kToken, .policy = policy},
        .x = x,
        .normed = normed,
        .logits = out,
        .routing = routing},
       context);
    logits[reference] = copy(out);
  }
  expect_close(logits[false], logits[true], 2e-5);
  expect_close(weights[false], weights[true], 2e-5);
  EXPECT_EQ(ids[false], ids[true]);
}

INSTANTIATE_TEST_SUITE_P(Types, OpsTest, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(type_name(info.param.type)); });

/// A token's result is the same bits alone, in a batch and in another order, for every format.
TEST(OpsInvariance, ExpertsOfATokenDoNotDependOnItsNeighbours) {
  for (const Case& c : cases()) {
    Bench bench(3);
    const auto op = bind_op(experts(bench, c.type), {.limit = isa_limit()});
    const TensorView<float> x = bench.matrix(kToken, kEmbd);
    MixedRouting all(bench.rng, kToken, kSlots, kExperts, kZero);
    std::vector<float> together(kToken * kEmbd), alone(kToken * kEmbd);
    OpContext context = bench.context();
    op({.x = x, .routing = all.view(), .out = {together.data(), kToken, kEmbd}}, context);
    for (int64_t t = 0; t < kToken; ++t) {
      const Routing one{all.view().ids.rows(t, 1), all.view().weights.rows(t, 1),
                        all.view().n_active.subspan(static_cast<size_t>(t), 1)};
      op({.x = x.rows(t, 1), .routing = one, .out = {&alone[static_cast<size_t>(t * kEmbd)], 1, kEmbd}},
         context);
    }
    EXPECT_EQ(alone, together) << type_name(c.type);
  }
}

TEST(OpsCounters, IdentityExpertsAndEmptySlotsCostNothing) {
  Bench bench;
  const auto op = bind_op(experts(bench, Type::F32), {.limit = isa_limit()});
  const TensorView<float> x = bench.matrix(1, kEmbd), out = bench.matrix(1, kEmbd);
  int32_t ids[kSlots] = {kExperts, kExperts + 2, -1, -1}, n_active[] = {2};
  float weights[kSlots] = {0.5f, 0.25f, 0, 0};
  const std::vector<float> before = copy(out);
  OpContext context = bench.context();
  op({.x = x, .routing = {{ids, 1, kSlots}, {weights, 1, kSlots}, n_active}, .out = out}, context);
  EXPECT_EQ(bench.counters.expert_bytes, 0u);
  EXPECT_EQ(bench.counters.expert_flops, 0u);
  for (int64_t i = 0; i < kEmbd; ++i)
    EXPECT_FLOAT_EQ(out.at(0, i), before[static_cast<size_t>(i)] + 0.75f * x.at(0, i));
}

TEST(OpsBinding, SaysWhy) {
  Bench bench;
  std::string why;
  const auto op = bind_op(experts(bench, Type::F32), kReference, &why);
  EXPECT_STREQ(op.kernel->name, "ref_experts");
  EXPECT_NE(why.find("not cpu_experts: the references were asked for"), std::string::npos) << why;
}

TEST(OpsBinding, WhatNobodyCanRunSaysWhyEachCannot) {
  const AttentionDesc desc{.n_head = 2, .n_head_kv = 1, .head_dim = 16, .value_dim = 32};
  const std::string reason = "value heads differ in width from key heads";
  try {
    bind_op(desc, {.limit = Isa::Scalar});
    FAIL() << "there is no such kernel";
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), "no kernel can run this operation: attention (cpu_attention: " + reason +
                            "; ref_attention: " + reason + ")");
  }
}

}  // namespace
}  // namespace sw
