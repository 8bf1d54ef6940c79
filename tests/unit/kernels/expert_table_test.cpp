// SPDX-License-Identifier: MIT
// Experts by way of a table: each with a format of its own, some of them elsewhere, and a table that is
// rewritten under a bound operation.
#include "kernels/expert_table.h"

#include <cstring>
#include <gtest/gtest.h>

#include "rig.h"

namespace sw {
namespace {
using namespace testing;

constexpr int64_t kEmbd = 256, kFf = 256, kToken = 31;
constexpr int kExperts = 9, kZero = 2, kSlots = 3;
constexpr Type kTypes[] = {Type::F32, Type::Q8_0, Type::Q4_K};

/// One of the matrices of all experts, in each of the formats.
struct InEachFormat {
  InEachFormat(Rig& rig, int64_t n_out, int64_t n_in) {
    for (const Type type : kTypes) uniform.push_back(rig.experts(type, {kExperts, n_out, n_in}));
  }
  /// Expert e in format `format_of(e)`, an index.
  template <class F>
  ExpertStack mix(Rig& rig, const F& format_of) const {
    std::vector<WeightView> each;
    for (int32_t e = 0; e < kExperts; ++e) each.push_back(uniform[format_of(e)].matrix(e));
    return rig.stack(each);
  }
  std::vector<ExpertStack> uniform;
};

size_t gate_format(int32_t e) { return static_cast<size_t>(e % 3); }
size_t up_format(int32_t e) { return static_cast<size_t>(e / 3); }
size_t down_format(int32_t e) { return static_cast<size_t>((e + e / 3 + 1) % 3); }

class ExpertTable : public ::testing::Test {
 protected:
  /// What the experts of `desc` add to nothing.
  std::vector<float> run(const ExpertsDesc& desc, const Routing& routing, const BindOptions& options) {
    return run(bind_op(desc, options), routing);
  }
  template <class Op>
  std::vector<float> run(const Op& op, Routing routing) {
    std::vector<float> out(kToken * kEmbd, 0.0f);
    OpContext context = rig.context();
    op({.x = x, .routing = routing, .out = {out.data(), kToken, kEmbd}}, context);
    return out;
  }
  ExpertsDesc mixed() {
    return {.gate = gate.mix(rig, gate_format),
            .up = up.mix(rig, up_format),
            .down = down.mix(rig, down_format),
            .n_slot = kSlots};
  }

  Rig rig;
  const InEachFormat gate{rig, kFf, kEmbd}, up{rig, kFf, kEmbd}, down{rig, kEmbd, kFf};
  const TensorView<float> x = rig.matrix(kToken, kEmbd);
};

TEST_F(ExpertTable, SaysWhatItHolds) {
  const ExpertStack all = mixed().gate;
  EXPECT_EQ(all.n_expert, kExperts);
  EXPECT_EQ(all.n_here, kExperts);
  EXPECT_EQ(all.n_out, kFf);
  EXPECT_EQ(all.n_in, kEmbd);
  ASSERT_EQ(all.formats.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(all.formats[i].type, kTypes[i]);
  const ExpertStack some = rig.some(all, {1, 4});
  EXPECT_EQ(some.n_here, 2);
  ASSERT_EQ(some.formats.size(), 1u);
  EXPECT_EQ(some.formats[0].type, Type::Q8_0);
  for (const int32_t id : {-1, 0, 2, 8, 9}) EXPECT_FALSE(some.has(id)) << id;
  EXPECT_TRUE(some.has(4));
  EXPECT_EQ(some.matrix(4).data, all.matrix(4).data);
}

/// Each token has one expert, so that its result is that expert's alone.
TEST_F(ExpertTable, AnExpertsFormatIsItsOwnAffair) {
  std::vector<int32_t> ids(kToken), n_active(kToken, 1);
  for (size_t t = 0; t < kToken; ++t) ids[t] = static_cast<int32_t>(t * 4 % kExperts);
  std::vector<float> weights(kToken, 0.75f);
  const Routing routing{{ids.data(), kToken, 1}, {weights.data(), kToken, 1}, n_active};
  ExpertsDesc desc = mixed();
  desc.n_slot = 1;
  for (const BindOptions& options : {BindOptions{.limit = isa_limit()}, kReference}) {
    const std::vector<float> together = run(desc, routing, options);
    for (int32_t e = 0; e < kExperts; ++e) {
      const ExpertsDesc alike{.gate = gate.uniform[gate_format(e)],
                              .up = up.uniform[up_format(e)],
                              .down = down.uniform[down_format(e)],
                              .n_slot = 1};
      const std::vector<float> uniform = run(alike, routing, options);
      for (int64_t t = 0; t < kToken; ++t) {
        if (ids[static_cast<size_t>(t)] != e) continue;
        const bool same = std::memcmp(&uniform[static_cast<size_t>(t * kEmbd)],
                                      &together[static_cast<size_t>(t * kEmbd)], kEmbd * sizeof(float)) == 0;
        EXPECT_TRUE(same) << "expert " << e << ", token " << t;
      }
    }
  }
}

/// Experts shared between two devices add up to all of them.
TEST_F(ExpertTable, ExpertsElsewhereAddNothing) {
  MixedRouting routing(rig.rng, kToken, kSlots, kExperts, kZero);
  const ExpertsDesc all = mixed();
  const std::vector<int32_t> parts[] = {{0, 3, 4, 8}, {1, 2, 5, 6, 7}};
  for (const BindOptions& options : {BindOptions{.limit = isa_limit()}, kReference}) {
    std::vector<float> sum(kToken * kEmbd, 0.0f);
    for (const std::vector<int32_t>& here : parts) {
      ExpertsDesc part = all;
      for (ExpertStack* stack : {&part.gate, &part.up, &part.down}) *stack = rig.some(*stack, here);
      part.identity = &here == &parts[1];
      const std::vector<float> share = run(part, routing.view(), options);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += share[i];
    }
    const std::vector<float> expected = run(all, routing.view(), options);
    for (size_t i = 0; i < sum.size(); ++i) ASSERT_NEAR(sum[i], expected[i], 1e-5f) << i;
  }
}

TEST_F(ExpertTable, MayBeRewrittenUnderABoundOperation) {
  MixedRouting routing(rig.rng, kToken, kSlots, kExperts, kZero);
  std::vector<ExpertMatrix> tables[3];
  ExpertsDesc desc = mixed();
  ExpertStack* const stacks[] = {&desc.gate, &desc.up, &desc.down};
  for (size_t i = 0; i < 3; ++i) {
    tables[i].assign(stacks[i]->table, stacks[i]->table + kExperts);
    stacks[i]->table = tables[i].data();
  }
  const auto op = bind_op(desc, {.limit = isa_limit()});
  const std::vector<float> before = run(op, routing.view());

  // Expert 2 goes; expert 5 comes back in the other's formats.
  const std::vector<int32_t> left = {0, 1, 3, 4, 5, 6, 7, 8};
  tables[0][5] = {gate.uniform[2].matrix(5).data, kTypes[2]};
  tables[1][5] = {up.uniform[0].matrix(5).data, kTypes[0]};
  ExpertsDesc expected = desc;
  ExpertStack* const expected_stacks[] = {&expected.gate, &expected.up, &expected.down};
  for (ExpertStack* stack : expected_stacks) *stack = rig.some(*stack, left);
  for (auto& table : tables) table[2].data = nullptr;

  const std::vector<float> after = run(op, routing.view());
  EXPECT_TRUE(after == run(expected, routing.view(), {.limit = isa_limit()}));
  EXPECT_FALSE(after == before);
}

TEST_F(ExpertTable, CountsTheBytesOfEachFormat) {
  int32_t ids[kToken];
  std::fill_n(ids, kToken, -1);
  ids[0] = 1;
  ids[1] = ids[2] = 6;
  std::vector<int32_t> n_active(kToken, 0);
  n_active[0] = n_active[1] = n_active[2] = 1;
  std::vector<float> weights(kToken, 1.0f);
  ExpertsDesc desc = mixed();
  desc.n_slot = 1;
  run(desc, {{ids, kToken, 1}, {weights.data(), kToken, 1}, n_active}, {.limit = isa_limit()});
  uint64_t bytes = 0;
  for (const ExpertStack* stack : {&desc.gate, &desc.up, &desc.down}) {
    for (const int32_t e : {1, 6}) bytes += stack->matrix(e).size_bytes();
  }
  EXPECT_EQ(rig.counters.expert_bytes, bytes);
  EXPECT_EQ(rig.counters.expert_flops, uint64_t{3} * 2 * 3 * kFf * kEmbd);
}

}  // namespace
}  // namespace sw
