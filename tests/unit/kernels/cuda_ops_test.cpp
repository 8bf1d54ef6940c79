// SPDX-License-Identifier: MIT
// The CUDA operations against the scalar references: every format, ragged shapes, one token to many.
#include <gtest/gtest.h>

#include "cuda_case.h"

namespace sw {
namespace {
using namespace testing;

class CudaOpsTest : public ::testing::TestWithParam<OpCase> {
 protected:
  void SetUp() override { SW_GPU_OR_SKIP(); }
  const OpCase case_ = GetParam();
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
    for (const auto& [options, tolerance] : ways(type)) {
      gpu.run(bind_op(gpu_desc, options),
              {.x = gpu_x,
               .rows = gpu.put(std::span<const int32_t>(rows)),
               .normed = gpu_normed,
               .logits = gpu_logits},
              n_row);
      const std::string what = std::to_string(n_row) + " rows";
      expect_rows_close(gpu.get(gpu_normed), copy(normed), n_embd, kExact.tolerance, "normed, " + what);
      expect_rows_close(gpu.get(gpu_logits), copy(logits), kVocab, tolerance, "logits, " + what);
    }
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
      std::vector<std::vector<float>> got;
      for (const Way& way : ways(type)) {
        const TensorView<float> gpu_x = gpu.put(x), gpu_out = normed ? gpu_x : gpu.put(out);
        gpu.run(bind_op(gpu_desc, way.options), {.x = gpu_x, .out = gpu_out}, n_token);
        got.push_back(gpu.get(gpu_out));
      }
      OpContext context = rig.context();
      bind_op(desc, kReference)({.x = x, .out = out}, context);
      const std::vector<float> expected(out.data(), out.row(n_token - 1) + n_embd);
      for (size_t i = 0; i < got.size(); ++i)
        expect_rows_close(got[i], expected, out.stride(), ways(type)[i].tolerance,
                          std::to_string(n_token) + " tokens");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaOpsTest, ::testing::ValuesIn(cases()), [](const auto& info) {
  return std::string(type_name(info.param.type)) + "_" + std::to_string(info.param.n_embd);
});

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
