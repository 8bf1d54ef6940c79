// SPDX-License-Identifier: MIT
// The experts on a GPU against the scalar reference, and that row-invariant operations are.
#include <gtest/gtest.h>

#include "cuda_case.h"

namespace sw {
namespace {
using namespace testing;

class CudaExpertsTest : public ::testing::TestWithParam<OpCase> {
 protected:
  void SetUp() override { SW_GPU_OR_SKIP(); }
  const OpCase case_ = GetParam();
};

constexpr int kExperts = 11, kZero = 3, kSlots = 4;

ExpertsDesc experts(Rig& rig, const OpCase& c, Type up_type, int64_t n_expert) {
  return {.gate = rig.experts(c.type, {n_expert, c.n_ff, c.n_embd}),
          .up = rig.experts(up_type, {n_expert, c.n_ff, c.n_embd}),
          .down = rig.experts(c.type, {n_expert, c.n_embd, c.n_ff}),
          .n_slot = kSlots};
}

ExpertsDesc on_gpu(Gpu& gpu, const ExpertsDesc& host) { return gpu.put_weights(host); }

/// The type of all their weights, or of some that are rounded.
Type type_of(const ExpertsDesc& desc) {
  for (const ExpertStack* stack : {&desc.gate, &desc.up, &desc.down}) {
    for (const ExpertFormat& format : stack->formats) {
      if (format.type != Type::F32) return format.type;
    }
  }
  return Type::F32;
}

void compare_experts(Rig& rig, Gpu& gpu, const ExpertsDesc& desc, int64_t n_zero) {
  const ExpertsDesc gpu_desc = on_gpu(gpu, desc);
  const int64_t n_embd = desc.down.n_out;
  for (const int64_t n_token : kTokens) {
    // One column of slots more than is ever used: rows of a routing may be wider than n_slot.
    MixedRouting mixed(rig.rng, n_token, kSlots + 1, desc.n_expert(), n_zero);
    for (int32_t& n : mixed.n_active) n = std::min(n, kSlots);
    Routing routing = mixed.view();
    Routing gpu_routing = gpu.put(routing);
    const TensorView<float> x = strided(rig, n_token, n_embd, 4), before = rig.matrix(n_token, n_embd);
    const std::vector<float> start = copy(before);
    OpContext context = rig.context();
    bind_op(desc, kReference)({.x = x, .routing = routing, .out = before}, context);
    if (!desc.shared.gate.empty()) bind_op(desc.shared, kReference)({.x = x, .out = before}, context);
    for (const auto& [options, tolerance] : ways(type_of(desc))) {
      const TensorView<float> gpu_out(gpu.put(start), n_token, n_embd);
      gpu.run(bind_op(gpu_desc, options), {.x = gpu.put(x), .routing = gpu_routing, .out = gpu_out}, n_token);
      expect_rows_close(gpu.get(gpu_out), copy(before), n_embd, tolerance,
                        std::to_string(n_token) + " tokens");
    }
  }
}

/// The shared expert along with the others: of their shape, wider, and of a format of its own.
TEST_P(CudaExpertsTest, ExpertsWithASharedOne) {
  Rig rig;
  Gpu gpu;
  const auto [type, n_embd, n_ff] = case_;
  ExpertsDesc desc = experts(rig, case_, type, kExperts);
  for (const auto& [shared_type, width] : {std::pair(type, n_ff), {type, 2 * n_ff}, {Type::F32, n_ff}}) {
    desc.shared = {.gate = rig.linear(shared_type, {width, n_embd}),
                   .up = rig.linear(shared_type, {width, n_embd}),
                   .down = rig.linear(shared_type, {n_embd, width})};
    compare_experts(rig, gpu, desc, kZero);
  }
}

TEST_P(CudaExpertsTest, Experts) {
  Rig rig;
  Gpu gpu;
  compare_experts(rig, gpu, experts(rig, case_, case_.type, kExperts), kZero);
}

const std::vector<int32_t> kHere = {1, 3, 6, 8};

/// Only the experts of kHere.
ExpertsDesc partly(Rig& rig, ExpertsDesc desc) {
  for (ExpertStack* stack : {&desc.gate, &desc.up, &desc.down}) *stack = rig.some(*stack, kHere);
  return desc;
}

TEST_P(CudaExpertsTest, ExpertsOfWhichSomeLiveElsewhere) {
  Rig rig;
  Gpu gpu;
  for (const bool identity : {false, true}) {
    ExpertsDesc desc = partly(rig, experts(rig, case_, case_.type, kExperts));
    desc.identity = identity;
    compare_experts(rig, gpu, desc, kZero);
  }
}

/// Some of them elsewhere; many values are beyond the limit.
TEST_P(CudaExpertsTest, ExpertsWithBiasesAndClampedActivations) {
  Rig rig;
  Gpu gpu;
  ExpertsDesc desc = partly(rig, experts(rig, case_, case_.type, kExperts));
  desc.gate.bias = rig.values(kExperts * case_.n_ff).data();
  desc.up.bias = rig.values(kExperts * case_.n_ff).data();
  desc.down.bias = rig.values(kExperts * case_.n_embd).data();
  desc.swiglu_limit = 0.5f;
  compare_experts(rig, gpu, desc, kZero);
}

/// `rows(begin, n)` gives an operation's results for those of 333 tokens: the same bits, however they are
/// cut.
template <class Rows>
void expect_same_rows(const Rows& rows) {
  std::vector<float> cut;
  int64_t begin = 0;
  for (const int64_t n : {1, 2, 7, 8, 9, 16, 17, 64, 209}) {
    const std::vector<float> piece = rows(begin, n);
    cut.insert(cut.end(), piece.begin(), piece.end());
    begin += n;
  }
  EXPECT_TRUE(rows(0, begin) == cut);
}

TEST_P(CudaExpertsTest, RowInvariantOnesGiveARowTheSameBitsInAnyBatch) {
  Rig rig;
  Gpu gpu;
  constexpr int64_t kToken = 333;
  constexpr BindOptions kInvariant = kExact.options;
  const Type type = case_.type;
  const int64_t n_embd = case_.n_embd, n_ff = case_.n_ff;
  const TensorView<float> x = gpu.put(rig.matrix(kToken, n_embd));
  const TensorView<float> y(gpu.poisoned<float>(kToken * n_embd), kToken, n_embd);
  const auto cleared = [&](int64_t n) {
    gpu.backend().zero(reinterpret_cast<std::byte*>(y.data()),
                       static_cast<size_t>(n * n_embd) * sizeof(float));
    return y.rows(0, n);
  };

  const auto ffn = bind_op(gpu.put_weights(FfnDesc{.gate = rig.linear(type, {n_ff, n_embd}),
                                                   .up = rig.linear(type, {n_ff, n_embd}),
                                                   .down = rig.linear(type, {n_embd, n_ff})}),
                           kInvariant);
  expect_same_rows([&](int64_t begin, int64_t n) {
    gpu.run(ffn, {.x = x.rows(begin, n), .out = cleared(n)}, n);
    return gpu.get(y.rows(0, n));
  });

  const auto all = bind_op(on_gpu(gpu, experts(rig, case_, type, kExperts)), kInvariant);
  MixedRouting mixed(rig.rng, kToken, kSlots, kExperts, kZero);
  const Routing routing = gpu.put(mixed.view());
  expect_same_rows([&](int64_t begin, int64_t n) {
    const Routing part{routing.ids.rows(begin, n), routing.weights.rows(begin, n),
                       routing.n_active.subspan(static_cast<size_t>(begin), static_cast<size_t>(n))};
    gpu.run(all, {.x = x.rows(begin, n), .routing = part, .out = cleared(n)}, n);
    return gpu.get(y.rows(0, n));
  });

  constexpr int64_t kVocab = 131;
  const auto head = bind_op(
      gpu.put_weights(HeadDesc{
          .norm = rig.vector(n_embd), .rms_eps = 1e-6f, .output = rig.linear(type, {kVocab, n_embd})}),
      kInvariant);
  std::vector<int32_t> order(kToken);
  for (int32_t& row : order) row = static_cast<int32_t>(rig.rng.below(kToken));
  const std::span<const int32_t> rows = gpu.put(std::span<const int32_t>(order));
  const TensorView<float> logits(gpu.poisoned<float>(kToken * kVocab), kToken, kVocab);
  expect_same_rows([&](int64_t begin, int64_t n) {
    const auto part = rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
    gpu.run(head, {.x = x, .rows = part, .normed = y.rows(0, n), .logits = logits.rows(0, n)}, n);
    return gpu.get(logits.rows(0, n));
  });
}

INSTANTIATE_TEST_SUITE_P(Types, CudaExpertsTest, ::testing::ValuesIn(cases()), [](const auto& info) {
  return std::string(type_name(info.param.type)) + "_" + std::to_string(info.param.n_embd);
});

/// One bias alone, and a limit without any.
TEST(CudaExperts, SingleBiasesAndLimit) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  const OpCase c{Type::F16, 300, 52};
  for (const int which : {0, 1, 2, 3}) {
    ExpertsDesc desc = experts(rig, c, c.type, kExperts);
    if (which == 0) desc.gate.bias = rig.values(kExperts * c.n_ff).data();
    if (which == 1) desc.up.bias = rig.values(kExperts * c.n_ff).data();
    if (which == 2) desc.down.bias = rig.values(kExperts * c.n_embd).data();
    if (which == 3) desc.swiglu_limit = 0.25f;
    SCOPED_TRACE(which);
    compare_experts(rig, gpu, desc, kZero);
  }
}

TEST(CudaExperts, GateAndUpOfTwoFormats) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  compare_experts(rig, gpu, experts(rig, {Type::Q4_K, 512, 256}, Type::Q6_K, kExperts), 0);
}

/// Experts of three formats, each matrix of an expert its own; all of them, then some.
TEST(CudaExperts, AFormatOfTheirOwnEach) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  constexpr Type kTypes[] = {Type::F32, Type::Q8_0, Type::Q4_K};
  const auto mixed = [&](int64_t n_out, int64_t n_in, size_t step) {
    std::vector<WeightView> each;
    for (size_t e = 0; e < kExperts; ++e)
      each.push_back(rig.linear(kTypes[e * step / 2 % 3], {n_out, n_in}).weight);
    return rig.stack(each);
  };
  ExpertsDesc desc{
      .gate = mixed(256, 512, 1), .up = mixed(256, 512, 2), .down = mixed(512, 256, 3), .n_slot = kSlots};
  compare_experts(rig, gpu, desc, kZero);
  compare_experts(rig, gpu, partly(rig, desc), kZero);
}

/// All tokens at one expert, and nearly none: tiles full and empty.
TEST(CudaExperts, CrowdedAndLonelyExperts) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  ExpertsDesc desc = experts(rig, {Type::Q8_0, 96, 160}, Type::Q8_0, kExperts);
  desc.n_slot = 1;
  const ExpertsDesc gpu_desc = on_gpu(gpu, desc);
  const int64_t n_token = 333, n_embd = desc.down.n_out;
  std::vector<int32_t> ids(n_token, 5), n_active(n_token, 1);
  ids[17] = 10;
  std::vector<float> weights(n_token, 0.7f);
  Routing routing{{ids.data(), n_token, 1}, {weights.data(), n_token, 1}, n_active};
  Routing gpu_routing = gpu.put(routing);
  const TensorView<float> x = rig.matrix(n_token, n_embd), out = rig.matrix(n_token, n_embd);
  const TensorView<float> gpu_out = gpu.put(out);
  OpContext context = rig.context();
  bind_op(desc, kReference)({.x = x, .routing = routing, .out = out}, context);
  gpu.run(bind_op(gpu_desc, kOnGpu), {.x = gpu.put(x), .routing = gpu_routing, .out = gpu_out}, n_token);
  expect_rows_close(gpu.get(gpu_out), copy(out), n_embd, kRounded, "crowded");
}

/// More tokens than are sorted at once, and more than 65535 blocks.
TEST(CudaExperts, ManyTokens) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  const ExpertsDesc desc{.gate = rig.experts(Type::F32, {kExperts, 12, 8}),
                         .up = rig.experts(Type::F32, {kExperts, 12, 8}),
                         .down = rig.experts(Type::F32, {kExperts, 8, 12}),
                         .n_slot = kSlots};
  const int64_t n_token = 70001;
  MixedRouting mixed(rig.rng, n_token, kSlots, kExperts, kZero);
  Routing routing = mixed.view();
  Routing gpu_routing = gpu.put(routing);
  const TensorView<float> x = rig.matrix(n_token, 8), out = rig.matrix(n_token, 8);
  const TensorView<float> gpu_out = gpu.put(out);
  OpContext context = rig.context();
  bind_op(desc, kReference)({.x = x, .routing = routing, .out = out}, context);
  gpu.run(bind_op(on_gpu(gpu, desc), kOnGpu), {.x = gpu.put(x), .routing = gpu_routing, .out = gpu_out},
          n_token);
  expect_rows_close(gpu.get(gpu_out), copy(out), 8, kExact.tolerance, "many tokens");
}

}  // namespace
}  // namespace sw
