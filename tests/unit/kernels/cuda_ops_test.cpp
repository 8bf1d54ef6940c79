// SPDX-License-Identifier: MIT
// The CUDA operations against the scalar references: every format, ragged shapes, one token to many.
#include <gtest/gtest.h>

#include "gpu.h"
#include "random_data.h"
#include "rig.h"

namespace sw {
namespace {
using namespace testing;

/// Products are f32 with f32 sums: rounding of at most a few hundred additions, against each row's largest
/// value.
constexpr double kTolerance = 1e-5;

/// Around every border between kernels: 1 and 2 to 8 tokens, up to 16 for experts, tiles of 64.
constexpr int64_t kTokens[] = {1, 2, 7, 8, 9, 16, 17, 64, 333};

void expect_rows_close(const std::vector<float>& got, const std::vector<float>& expected, int64_t n_cols,
                       const std::string& what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t begin = 0; begin < got.size(); begin += static_cast<size_t>(n_cols)) {
    const size_t end = std::min(got.size(), begin + static_cast<size_t>(n_cols));
    double largest = 0;
    for (size_t i = begin; i < end; ++i)
      largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    for (size_t i = begin; i < end; ++i) {
      // Not "greater": a NaN must fail.
      ASSERT_LE(std::abs(static_cast<double>(got[i]) - expected[i]), kTolerance * largest)
          << what << ", row " << begin / static_cast<size_t>(n_cols) << ", column " << i - begin << ": got "
          << got[i] << ", expected " << expected[i];
    }
  }
}

struct Case {
  Type type;
  int64_t n_embd, n_ff;
};

/// Widths that no tile divides, as ragged as a format's block allows. Formats without blocks are read in
/// another way where rows are no multiples of four.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Type type : {
#define SW_TYPE(name, id) Type::name,
#include "quant/types.inc"
#undef SW_TYPE
       }) {
    const int block = traits(type).block_elems;
    if (block == 1) {
      all.push_back({type, 77, 50});
      all.push_back({type, 300, 52});
    } else {
      all.push_back(block == 32 ? Case{type, 96, 160} : Case{type, 512, 256});
    }
  }
  return all;
}

/// Random rows `n_more` further apart than they are wide.
TensorView<float> strided(Rig& rig, int64_t n_rows, int64_t n_cols, int64_t n_more) {
  const int64_t stride = n_cols + n_more;
  return {rig.values(n_rows * stride).data(), n_rows, n_cols, stride};
}

class CudaOpsTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { SW_GPU_OR_SKIP(); }
  const Case case_ = GetParam();
};

TEST_P(CudaOpsTest, EmbedGivesTheBitsOfTheReference) {
  Rig rig;
  Gpu gpu;
  constexpr int64_t kVocab = 41;
  const auto [type, n_embd, n_ff] = case_;
  const std::vector<std::byte> table = wild_weights(rig.rng, type, kVocab, n_embd);
  const EmbedDesc desc{.table = {type, {kVocab, n_embd}, table.data(), {}}};
  for (const int64_t n_token : kTokens) {
    std::vector<int32_t> ids(static_cast<size_t>(n_token));
    for (int32_t& id : ids) id = static_cast<int32_t>(rig.rng.below(kVocab));
    const TensorView<float> out = rig.matrix(n_token, n_embd), gpu_out = gpu.put(out);
    OpContext context = rig.context();
    bind_op(desc, kReference)({.batch = {.n_token = n_token, .ids = ids.data()}, .out = out}, context);
    const TokenBatch batch{.n_token = n_token, .ids = gpu.put(ids.data(), n_token)};
    gpu.run(bind_op(EmbedDesc{.table = gpu.put(desc.table)}, kOnGpu), {.batch = batch, .out = gpu_out},
            n_token);
    EXPECT_EQ(gpu.get(gpu_out), copy(out)) << n_token << " tokens";
  }
}

TEST_P(CudaOpsTest, Head) {
  Rig rig;
  Gpu gpu;
  constexpr int64_t kVocab = 131, kToken = 350;
  const auto [type, n_embd, n_ff] = case_;
  const HeadDesc desc{
      .norm = rig.vector(n_embd), .rms_eps = 1e-6f, .output = rig.linear(type, {kVocab, n_embd})};
  const HeadDesc gpu_desc = gpu.put_weights(desc);
  const TensorView<float> x = strided(rig, kToken, n_embd, 8), gpu_x = gpu.put(x);
  for (const int64_t n_row : kTokens) {
    std::vector<int32_t> rows(static_cast<size_t>(n_row));
    for (int32_t& row : rows) row = static_cast<int32_t>(rig.rng.below(kToken));
    const TensorView<float> normed = rig.matrix(n_row, n_embd), logits = rig.matrix(n_row, kVocab);
    const TensorView<float> gpu_normed = gpu.put(normed), gpu_logits = gpu.put(logits);
    OpContext context = rig.context();
    bind_op(desc, kReference)({.x = x, .rows = rows, .normed = normed, .logits = logits}, context);
    gpu.run(bind_op(gpu_desc, kOnGpu),
            {.x = gpu_x,
             .rows = gpu.put(std::span<const int32_t>(rows)),
             .normed = gpu_normed,
             .logits = gpu_logits},
            n_row);
    const std::string what = std::to_string(n_row) + " rows";
    expect_rows_close(gpu.get(gpu_normed), copy(normed), n_embd, "normed, " + what);
    expect_rows_close(gpu.get(gpu_logits), copy(logits), kVocab, "logits, " + what);
  }
}

TEST_P(CudaOpsTest, Ffn) {
  Rig rig;
  Gpu gpu;
  const auto [type, n_embd, n_ff] = case_;
  for (const bool normed : {false, true}) {
    const FfnDesc desc{.norm = normed ? rig.vector(n_embd) : Values{},
                       .rms_eps = 1e-6f,
                       .gate = rig.linear(type, {n_ff, n_embd}),
                       .up = rig.linear(normed ? Type::F32 : type, {n_ff, n_embd}),
                       .down = rig.linear(type, {n_embd, n_ff})};
    const FfnDesc gpu_desc = gpu.put_weights(desc);
    for (const int64_t n_token : kTokens) {
      const TensorView<float> x = strided(rig, n_token, n_embd, 8);
      // In place, as in a model, and apart.
      const TensorView<float> out = normed ? x : rig.matrix(n_token, n_embd);
      const TensorView<float> gpu_x = gpu.put(x), gpu_out = normed ? gpu_x : gpu.put(out);
      OpContext context = rig.context();
      bind_op(desc, kReference)({.x = x, .out = out}, context);
      gpu.run(bind_op(gpu_desc, kOnGpu), {.x = gpu_x, .out = gpu_out}, n_token);
      const std::vector<float> expected(out.data(), out.row(n_token - 1) + n_embd);
      expect_rows_close(gpu.get(gpu_out), expected, out.stride(), std::to_string(n_token) + " tokens");
    }
  }
}

constexpr int kExperts = 11, kZero = 3, kSlots = 4;

ExpertsDesc experts(Rig& rig, const Case& c, Type up_type, int64_t n_expert) {
  return {.gate = rig.experts(c.type, {n_expert, c.n_ff, c.n_embd}),
          .up = rig.experts(up_type, {n_expert, c.n_ff, c.n_embd}),
          .down = rig.experts(c.type, {n_expert, c.n_embd, c.n_ff}),
          .n_slot = kSlots};
}

ExpertsDesc on_gpu(Gpu& gpu, const ExpertsDesc& host) { return gpu.put_weights(host); }

void compare_experts(Rig& rig, Gpu& gpu, const ExpertsDesc& desc, int64_t n_zero) {
  const ExpertsDesc gpu_desc = on_gpu(gpu, desc);
  const int64_t n_embd = desc.down.n_out;
  for (const int64_t n_token : kTokens) {
    // One column of slots more than is ever used: rows of a routing may be wider than n_slot.
    MixedRouting mixed(rig.rng, n_token, kSlots + 1, desc.n_expert(), n_zero);
    for (int32_t& n : mixed.n_active) n = std::min(n, kSlots);
    Routing routing = mixed.view();
    Routing gpu_routing = gpu.put(routing);
    const TensorView<float> x = strided(rig, n_token, n_embd, 4), out = rig.matrix(n_token, n_embd);
    const TensorView<float> gpu_out = gpu.put(out);
    OpContext context = rig.context();
    bind_op(desc, kReference)({.x = x, .routing = routing, .out = out}, context);
    gpu.run(bind_op(gpu_desc, kOnGpu), {.x = gpu.put(x), .routing = gpu_routing, .out = gpu_out}, n_token);
    expect_rows_close(gpu.get(gpu_out), copy(out), n_embd, std::to_string(n_token) + " tokens");
  }
}

TEST_P(CudaOpsTest, Experts) {
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

TEST_P(CudaOpsTest, ExpertsOfWhichSomeLiveElsewhere) {
  Rig rig;
  Gpu gpu;
  for (const bool identity : {false, true}) {
    ExpertsDesc desc = partly(rig, experts(rig, case_, case_.type, kExperts));
    desc.identity = identity;
    compare_experts(rig, gpu, desc, kZero);
  }
}

/// Some of them elsewhere; many values are beyond the limit.
TEST_P(CudaOpsTest, ExpertsWithBiasesAndClampedActivations) {
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

TEST_P(CudaOpsTest, RowInvariantOnesGiveARowTheSameBitsInAnyBatch) {
  Rig rig;
  Gpu gpu;
  constexpr int64_t kToken = 333;
  constexpr BindOptions kInvariant{.limit = Isa::Scalar, .row_invariant = true, .device = DeviceKind::Cuda};
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

INSTANTIATE_TEST_SUITE_P(Types, CudaOpsTest, ::testing::ValuesIn(cases()), [](const auto& info) {
  return std::string(type_name(info.param.type)) + "_" + std::to_string(info.param.n_embd);
});

/// One bias alone, and a limit without any.
TEST(CudaExperts, SingleBiasesAndLimit) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  const Case c{Type::F16, 300, 52};
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
  expect_rows_close(gpu.get(gpu_out), copy(out), n_embd, "crowded");
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
  expect_rows_close(gpu.get(gpu_out), copy(out), 8, "many tokens");
}

TEST(CudaEmbed, MoreTokensThanAGridIsHigh) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  const int64_t n_token = 70001, n_embd = 8;
  const WeightView table = rig.linear(Type::F16, {n_token, n_embd}).weight;
  std::vector<int32_t> ids(static_cast<size_t>(n_token));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(ids.size() - 1 - i);
  const TensorView<float> out = rig.matrix(n_token, n_embd), gpu_out = gpu.put(out);
  OpContext context = rig.context();
  bind_op(EmbedDesc{.table = table}, kReference)(
      {.batch = {.n_token = n_token, .ids = ids.data()}, .out = out}, context);
  const TokenBatch batch{.n_token = n_token, .ids = gpu.put(ids.data(), n_token)};
  gpu.run(bind_op(EmbedDesc{.table = gpu.put(table)}, kOnGpu), {.batch = batch, .out = gpu_out}, n_token);
  EXPECT_EQ(gpu.get(gpu_out), copy(out));
}

}  // namespace
}  // namespace sw
