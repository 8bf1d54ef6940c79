// SPDX-License-Identifier: MIT
// Products of many tokens on the tensor cores: how far inputs and weights rounded to bfloat16 may take a row
// of results from those of the reference, and that a row does not depend on its neighbors.
#include <gtest/gtest.h>

#include "gpu.h"
#include "random_data.h"
#include "rig.h"

namespace sw {
namespace {
using namespace testing;

/// Of one product, root mean square of a row's errors against that of the row. bfloat16 has 8 bits: both
/// factors together are rounded by 0.2 percent in the mean.
constexpr double kOneProduct = 0.005;
/// Of gate and up and then down, whose inputs are rounded again.
constexpr double kTwoProducts = 0.008;
/// Of one or two products with weights in F32.
constexpr double kExact = 5e-6;

/// On each side of every border between tiles of 16, 64 and 128 rows.
constexpr int64_t kRows[] = {9, 16, 17, 32, 33, 64, 65, 128, 129, 300};

void expect_rows_near(const std::vector<float>& got, const std::vector<float>& expected, int64_t n_cols,
                      double bound, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t begin = 0; begin < got.size(); begin += static_cast<size_t>(n_cols)) {
    double error = 0, size = 0;
    for (size_t i = begin; i < begin + static_cast<size_t>(n_cols); ++i) {
      const double e = expected[i], d = got[i] - e;
      error += d * d;
      size += e * e;
    }
    // Not "greater": a NaN must fail.
    ASSERT_LE(std::sqrt(error), bound * std::sqrt(size))
        << what << ", row " << begin / static_cast<size_t>(n_cols);
  }
}

struct Case {
  Type type;
  int64_t n_embd, n_ff;
};

/// Widths that no tile divides and, where blocks allow it, rows that begin at odd addresses.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Type type : kGpuTypes) {
    const int block = traits(type).block_elems;
    if (block == 1) all.push_back({type, 203, 141});
    all.push_back(block == 256 ? Case{type, 768, 256} : Case{type, 288, 160});
  }
  return all;
}

class CudaMmaTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { SW_GPU_OR_SKIP(); }
  double bound(double rounded) const { return case_.type == Type::F32 ? kExact : rounded; }
  const Case case_ = GetParam();
};

/// The logits of `rows`, on the GPU.
std::vector<float> gpu_logits(Gpu& gpu, const HeadDesc& desc, TensorView<const float> x,
                              const std::vector<int32_t>& rows) {
  const auto n_row = std::ssize(rows);
  const int64_t n_out = desc.output.n_out();
  const TensorView<float> normed(gpu.poisoned<float>(n_row * x.n_cols()), n_row, x.n_cols());
  const TensorView<float> logits(gpu.poisoned<float>(n_row * n_out), n_row, n_out);
  gpu.run(bind_op(desc, kOnGpu),
          {.x = x, .rows = gpu.put(std::span<const int32_t>(rows)), .normed = normed, .logits = logits},
          n_row);
  return gpu.get(logits);
}

TEST_P(CudaMmaTest, ADenseProductIsNearTheReference) {
  Rig rig;
  Gpu gpu;
  for (const int64_t n_out : {77, 260}) {
    const HeadDesc desc{.norm = rig.vector(case_.n_embd),
                        .rms_eps = 1e-6f,
                        .output = rig.linear(case_.type, {n_out, case_.n_embd})};
    const HeadDesc gpu_desc = gpu.put_weights(desc);
    for (const int64_t n_row : kRows) {
      const TensorView<float> x = rig.matrix(n_row, case_.n_embd), normed = rig.matrix(n_row, case_.n_embd),
                              logits = rig.matrix(n_row, n_out);
      std::vector<int32_t> rows(static_cast<size_t>(n_row));
      for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
      OpContext context = rig.context();
      bind_op(desc, kReference)({.x = x, .rows = rows, .normed = normed, .logits = logits}, context);
      expect_rows_near(gpu_logits(gpu, gpu_desc, gpu.put(x), rows), copy(logits), n_out, bound(kOneProduct),
                       std::to_string(n_row) + " rows");
    }
  }
}

TEST_P(CudaMmaTest, ARowHasTheSameBitsWhateverTheOtherRowsAre) {
  Rig rig;
  Gpu gpu;
  constexpr int64_t kRow = 200, kOut = 131;
  const HeadDesc desc = gpu.put_weights(HeadDesc{.norm = rig.vector(case_.n_embd),
                                                 .rms_eps = 1e-6f,
                                                 .output = rig.linear(case_.type, {kOut, case_.n_embd})});
  const TensorView<float> x = gpu.put(rig.matrix(kRow, case_.n_embd));
  std::vector<int32_t> forth(kRow), back(kRow);
  for (int32_t i = 0; i < kRow; ++i)
    forth[static_cast<size_t>(i)] = back[static_cast<size_t>(kRow - 1 - i)] = i;
  const std::vector<float> one = gpu_logits(gpu, desc, x, forth), other = gpu_logits(gpu, desc, x, back);
  for (int64_t i = 0; i < kRow; ++i) {
    const auto begin = one.begin() + i * kOut;
    EXPECT_TRUE(std::equal(begin, begin + kOut, other.begin() + (kRow - 1 - i) * kOut)) << "row " << i;
  }
}

TEST_P(CudaMmaTest, ADenseNetworkIsNearTheReference) {
  Rig rig;
  Gpu gpu;
  const auto [type, n_embd, n_ff] = case_;
  FfnDesc desc{.gate = rig.linear(type, {n_ff, n_embd}),
               .up = rig.linear(type, {n_ff, n_embd}),
               .down = rig.linear(type, {n_embd, n_ff}),
               .gate_bias = rig.vector(n_ff),
               .up_bias = rig.vector(n_ff),
               .down_bias = rig.vector(n_embd)};
  for (const bool normed : {false, true}) {
    if (normed) {
      desc.norm = rig.vector(n_embd);
      desc.rms_eps = 1e-6f;
    }
    const FfnDesc gpu_desc = gpu.put_weights(desc);
    for (const int64_t n_token : kRows) {
      const TensorView<float> x = rig.matrix(n_token, n_embd), out = rig.matrix(n_token, n_embd);
      const TensorView<float> gpu_x = gpu.put(x), gpu_out = gpu.put(out);
      OpContext context = rig.context();
      bind_op(desc, kReference)({.x = x, .out = out}, context);
      gpu.run(bind_op(gpu_desc, kOnGpu), {.x = gpu_x, .out = gpu_out}, n_token);
      expect_rows_near(gpu.get(gpu_out), copy(out), n_embd, bound(kTwoProducts),
                       std::to_string(n_token) + " tokens");
    }
  }
}

/// Few and many rows per expert: every size of tiles; the same bits the second time.
TEST_P(CudaMmaTest, ExpertsAreNearTheReference) {
  Rig rig;
  Gpu gpu;
  const auto [type, n_embd, n_ff] = case_;
  for (const int64_t n_expert : {3, 29}) {
    constexpr int64_t kSlots = 2;
    const ExpertsDesc desc{.gate = rig.experts(type, {n_expert, n_ff, n_embd}),
                           .up = rig.experts(type, {n_expert, n_ff, n_embd}),
                           .down = rig.experts(type, {n_expert, n_embd, n_ff}),
                           .swiglu_limit = n_expert == 3 ? 0.5f : 0.0f,
                           .n_slot = kSlots};
    const auto on_gpu = bind_op(gpu.put_weights(desc), kOnGpu);
    for (const int64_t n_token : {17, 64, 250}) {
      MixedRouting mixed(rig.rng, n_token, kSlots, n_expert, 0);
      const Routing routing = mixed.view(), gpu_routing = gpu.put(routing);
      const TensorView<float> x = rig.matrix(n_token, n_embd), out = rig.matrix(n_token, n_embd);
      const TensorView<float> gpu_x = gpu.put(x), first = gpu.put(out), second = gpu.put(out);
      OpContext context = rig.context();
      bind_op(desc, kReference)({.x = x, .routing = routing, .out = out}, context);
      for (const TensorView<float>& to : {first, second})
        gpu.run(on_gpu, {.x = gpu_x, .routing = gpu_routing, .out = to}, n_token);
      expect_rows_near(gpu.get(first), copy(out), n_embd, bound(kTwoProducts),
                       std::to_string(n_expert) + " experts, " + std::to_string(n_token) + " tokens");
      EXPECT_TRUE(gpu.get(first) == gpu.get(second));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaMmaTest, ::testing::ValuesIn(cases()), [](const auto& info) {
  return std::string(type_name(info.param.type)) + "_" + std::to_string(info.param.n_embd);
});

}  // namespace
}  // namespace sw
