// SPDX-License-Identifier: MIT
// Every variant of every operation that the CPU can run against the scalar reference, on random weights of
// every format; latent attention in mla_test.cpp.
#include "kernels/ops.h"

#include <gtest/gtest.h>

#include "random_data.h"
#include "rig.h"
#include "support/closeness.h"
#include "unit/kernels/route_cases.h"

namespace sw {
namespace {
using namespace testing;

constexpr int64_t kEmbd = 256, kFf = 512, kToken = 9;
constexpr int kExperts = 8, kZero = 3, kSlots = 4;

struct Case {
  Type type;
  double bound;          ///< on the error's share of the result's power, as a root
  int64_t n_embd, n_ff;  ///< as ragged as the format's block allows
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Type type : kOpTypes) {
    const int64_t block = traits(type).block_elems;
    const double bound = traits(type).quantized ? 0.02 : 2e-5;
    if (block == 1) {
      all.push_back({type, bound, 77, 51});
    } else if (kEmbd % block == 0) {
      all.push_back({type, bound, block * 3, block});
    }
  }
  return all;
}

class OpsTest : public ::testing::TestWithParam<Case> {
 protected:
  /// Runs `call(bound op, residual, context)` with each variant, its scratch poisoned, and compares the
  /// residuals [n_token, n_embd] with the reference's.
  template <class Desc, class Call>
  void compare(Rig& rig, const Desc& desc, int64_t n_token, int64_t n_embd, Call&& call) {
    const std::vector<float> start = rig.values(n_token * n_embd);
    std::vector<float> expected;
    for (const BoundOp<Desc>& op : variants_of(desc)) {
      SCOPED_TRACE(std::string(op.kernel->name) + ", " + std::to_string(n_token) + " tokens");
      std::vector<float> x = start;
      OpContext context = rig.context(op, n_token);
      call(op, TensorView<float>(x.data(), n_token, n_embd), context);
      if (op.kernel == OpTraits<Desc>::kernels().back()) expected = x;
      EXPECT_LE(relative_error(x, expected), GetParam().bound);
    }
  }
};

/// None, one, and a number that no tile divides.
constexpr int64_t kTokens[] = {0, 1, kToken, 37};

TEST_P(OpsTest, Ffn) {
  Rig rig;
  const auto [type, bound, n_embd, n_ff] = GetParam();
  for (const bool normed : {false, true}) {
    const FfnDesc desc{.norm = normed ? rig.vector(n_embd) : Values{},
                       .rms_eps = 1e-6f,
                       .gate = rig.linear(type, {n_ff, n_embd}),
                       .up = rig.linear(normed ? Type::F32 : type, {n_ff, n_embd}),
                       .down = rig.linear(type, {n_embd, n_ff})};
    for (const int64_t n_token : kTokens) {
      compare(rig, desc, n_token, n_embd, [](const auto& op, TensorView<float> x, OpContext& context) {
        op({.x = x, .out = x}, context);
      });
    }
  }
}

ExpertsDesc experts(Rig& rig, Type type) {
  return {.gate = rig.experts(type, {kExperts, kFf, kEmbd}),
          .up = rig.experts(type, {kExperts, kFf, kEmbd}),
          .down = rig.experts(type, {kExperts, kEmbd, kFf}),
          .n_slot = kSlots};
}

class ExpertsTest : public OpsTest {
 protected:
  void compare_experts(Rig& rig, const ExpertsDesc& desc) {
    for (const int64_t n_token : kTokens) {
      const TensorView<float> normed = rig.matrix(n_token, kEmbd);
      MixedRouting mixed(rig.rng, n_token, kSlots, kExperts, kZero);
      Routing routing = mixed.view();
      compare(rig, desc, n_token, kEmbd, [&](const auto& op, TensorView<float> x, OpContext& context) {
        op({.x = normed, .routing = routing, .out = x}, context);
      });
    }
  }
};

TEST_P(ExpertsTest, WithBiasesAndClampedActivations) {
  Rig rig;
  ExpertsDesc desc = experts(rig, GetParam().type);
  desc.gate.bias = rig.values(kExperts * kFf).data();
  desc.up.bias = rig.values(kExperts * kFf).data();
  desc.down.bias = rig.values(kExperts * kEmbd).data();
  desc.swiglu_limit = 0.5f;  // many are beyond it
  compare_experts(rig, desc);
}

TEST_P(ExpertsTest, Plain) {
  Rig rig;
  const ExpertsDesc desc = experts(rig, GetParam().type);
  compare_experts(rig, desc);
}

constexpr int kHead = 64, kHeads = 4, kKvHeads = 2;

AttentionDesc fused(Rig& rig, const Case& c, bool extras) {
  AttentionDesc desc{.n_head = kHeads,
                     .n_head_kv = kKvHeads,
                     .head_dim = kHead,
                     .value_dim = kHead,
                     .rms_eps = 1e-6f,
                     .norm = rig.vector(c.n_embd),
                     .qkv = rig.linear(c.type, {(kHeads + 2 * kKvHeads) * kHead, c.n_embd}),
                     .rope = {.n_rot = extras ? 32 : 64, .neighbours = extras},
                     .out = rig.linear(c.type, {c.n_embd, kHeads * kHead})};
  if (!extras) return desc;
  desc.qkv_bias = rig.vector((kHeads + 2 * kKvHeads) * kHead);
  desc.qk_norm = {QkNorm::Over::Head, rig.vector(kHead), rig.vector(kHead)};
  return desc;
}

/// The fused matrix cut into those of queries, keys and values, of which the queries' has another format.
AttentionDesc apart(Rig& rig, const Case& c, bool extras) {
  AttentionDesc desc = fused(rig, c, extras);
  desc.qkv = rig.linear(Type::F32, {kHeads * kHead, c.n_embd});
  desc.k = rig.linear(c.type, {kKvHeads * kHead, c.n_embd});
  desc.v = rig.linear(c.type, {kKvHeads * kHead, c.n_embd});
  if (!extras) return desc;
  desc.k_bias = rig.vector(kKvHeads * kHead);
  desc.v_bias = rig.vector(kKvHeads * kHead);
  desc.qk_norm = {QkNorm::Over::AllHeads, rig.vector(kHeads * kHead), rig.vector(kKvHeads * kHead)};
  desc.mask.window = 3;
  desc.sinks = rig.vector(kHeads);
  desc.out_bias = rig.vector(c.n_embd);
  return desc;
}

/// Two sequences with their pages in disorder; the second starts in the middle of its third page.
struct TwoSequences {
  static constexpr int64_t kPage = 4, kPages = 8;

  TwoSequences(Rig& rig, const AttentionDesc& d, int64_t n_token)
      : n_token(n_token),
        cache(2 * kPages * kPage * kKvHeads * kHead, 0.25f),
        cos(rig.values(kToken * d.rope.n_pair())),
        sin(rig.values(kToken * d.rope.n_pair())) {}

  TokenBatch batch() const {
    return {.n_token = n_token,
            .pos = pos,
            .seq = seq,
            .block_tables = tables,
            .rope_cos = cos.data(),
            .rope_sin = sin.data()};
  }
  KvLayerView kv() {
    auto* base = reinterpret_cast<std::byte*>(cache.data());
    return {.k = base,
            .v = base + cache.size() / 2 * sizeof(float),
            .type = Type::F32,
            .page_tokens = kPage,
            .page_stride_bytes = kKvHeads * kPage * kHead * sizeof(float),
            .head_stride_bytes = kPage * kHead * sizeof(float),
            .v_type = Type::F32,
            .v_page_stride_bytes = kKvHeads * kPage * kHead * sizeof(float),
            .v_head_stride_bytes = kPage * kHead * sizeof(float)};
  }

  int64_t n_token;
  std::vector<float> cache;
  const std::vector<float>&cos, &sin;
  int32_t seq[kToken] = {0, 0, 0, 0, 0, 1, 1, 1, 1}, pos[kToken] = {0, 1, 2, 3, 4, 9, 10, 11, 12};
  int32_t first[2] = {5, 0}, second[4] = {3, 7, 1, 2};
  const int32_t* tables[2] = {first, second};
};

TEST_P(OpsTest, Attention) {
  Rig rig;
  for (const auto form : {fused, apart}) {
    for (const bool extras : {false, true}) {
      const AttentionDesc desc = form(rig, GetParam(), extras);
      for (const int64_t n_token : {int64_t{0}, int64_t{1}, kToken}) {
        TwoSequences tokens(rig, desc, n_token);
        const TokenBatch batch = tokens.batch();
        compare(rig, desc, n_token, GetParam().n_embd,
                [&](const auto& op, TensorView<float> x, OpContext& context) {
                  op({.batch = batch, .kv = tokens.kv(), .x = x}, context);
                });
      }
    }
  }
}

TEST_P(OpsTest, Head) {
  Rig rig;
  const auto [type, bound, n_embd, n_vocab] = GetParam();
  const HeadDesc desc{
      .norm = rig.vector(n_embd), .rms_eps = 1e-6f, .output = rig.linear(type, {n_vocab, n_embd})};
  const TensorView<float> hidden = rig.matrix(kToken, n_embd);
  const int32_t order[] = {7, 0, 3, 3, 8};
  for (const size_t n_row : {0, 1, 5}) {
    const std::span<const int32_t> rows = std::span(order).first(n_row);
    const auto n = static_cast<int64_t>(n_row);
    compare(rig, desc, n, n_vocab, [&](const auto& op, TensorView<float> logits, OpContext& context) {
      op({.x = hidden, .rows = rows, .normed = rig.matrix(n, n_embd), .logits = logits}, context);
    });
  }
}

TEST_P(OpsTest, EmbedGivesTheBitsOfTheReference) {
  Rig rig;
  const auto [type, bound, n_embd, n_vocab] = GetParam();
  const EmbedDesc desc{.table = rig.linear(type, {n_vocab, n_embd}).weight};
  const int32_t ids[] = {4, static_cast<int32_t>(n_vocab) - 1, 0};
  for (const int64_t n_token : {0, 1, 3}) {
    std::vector<float> expected;
    for (const auto& op : variants_of(desc)) {
      std::vector<float> out(static_cast<size_t>(n_token * n_embd));
      OpContext context = rig.context(op, n_token);
      op({.batch = {.n_token = n_token, .ids = ids}, .out = {out.data(), n_token, n_embd}}, context);
      if (expected.empty()) expected = out;
      EXPECT_EQ(out, expected) << op.kernel->name;
    }
  }
}

TEST_P(OpsTest, Route) {
  Rig rig;
  const auto [type, bound, n_embd, n_ff] = GetParam();
  const RouterSpec spec{.score = Score::Sigmoid,
                        .n_expert = kExperts,
                        .n_expert_used = 2,
                        .n_group = 4,
                        .n_group_used = 2,
                        .renorm = true};
  const PolicyTable policies({{0, spec}}, 1, 2, 1);
  const RouteDesc desc{.norm = rig.vector(n_embd),
                       .rms_eps = 1e-6f,
                       .router = rig.linear(type, {kExperts, n_embd}),
                       .logit_bias = rig.vector(kExperts),
                       .bias = rig.vector(kExperts),
                       .spec = spec};
  const uint16_t policy[37] = {};
  for (const int64_t n_token : kTokens) {
    const TensorView<float> x = rig.matrix(n_token, n_embd);
    compare(rig, desc, n_token, kExperts, [&](const auto& op, TensorView<float> logits, OpContext& context) {
      OwnedRouting got(n_token, 2), want(n_token, 2);
      const OwnedCounts counts(spec, 2);
      op({.batch = {.n_token = n_token, .policy = policy},
          .x = x,
          .normed = rig.matrix(n_token, n_embd),
          .logits = logits,
          .routing = got.view,
          .policies = policies.view(),
          .counts = counts.view},
         context);
      const std::span ids(policy, static_cast<size_t>(n_token));
      route(spec, policies.view(), 0, ids, logits, desc.bias.span(), rig.route_scratch[0], want.view);
      expect_same_bits(got, want);
      expect_same_counts(counts.read(), stats_of(spec, want.view), 0);
    });
  }
}

const auto name_of_type = [](const auto& info) { return std::string(type_name(info.param.type)); };
INSTANTIATE_TEST_SUITE_P(Types, OpsTest, ::testing::ValuesIn(cases()), name_of_type);
INSTANTIATE_TEST_SUITE_P(Types, ExpertsTest, ::testing::ValuesIn(cases()), name_of_type);

/// A token's result is the same bits alone, in a batch and in another order, for every format.
TEST(OpsInvariance, ExpertsOfATokenDoNotDependOnItsNeighbours) {
  for (const Case& c : cases()) {
    Rig rig(3);
    const auto op = bind_op(experts(rig, c.type), {.limit = isa_limit()});
    const TensorView<float> x = rig.matrix(kToken, kEmbd);
    MixedRouting all(rig.rng, kToken, kSlots, kExperts, kZero);
    std::vector<float> together(kToken * kEmbd), alone(kToken * kEmbd);
    OpContext context = rig.context();
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
  Rig rig;
  const auto op = bind_op(experts(rig, Type::F32), {.limit = isa_limit()});
  const TensorView<float> x = rig.matrix(1, kEmbd), out = rig.matrix(1, kEmbd);
  int32_t ids[kSlots] = {kExperts, kExperts + 2, -1, -1}, n_active[] = {2};
  float weights[kSlots] = {0.5f, 0.25f, 0, 0};
  const std::vector<float> before = copy(out);
  OpContext context = rig.context();
  op({.x = x, .routing = {{ids, 1, kSlots}, {weights, 1, kSlots}, n_active}, .out = out}, context);
  EXPECT_EQ(rig.counters.expert_bytes, 0u);
  EXPECT_EQ(rig.counters.expert_flops, 0u);
  for (int64_t i = 0; i < kEmbd; ++i)
    EXPECT_FLOAT_EQ(out.at(0, i), before[static_cast<size_t>(i)] + 0.75f * x.at(0, i));
}

TEST(OpsBinding, SaysWhy) {
  Rig rig;
  std::string why;
  const auto op = bind_op(experts(rig, Type::F32), kReference, &why);
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
