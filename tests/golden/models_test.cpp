// SPDX-License-Identifier: MIT
// Every family against the outputs of its original Python: converted, traced and decoded greedily.
#include <gtest/gtest.h>

#include "golden/golden_models.h"

namespace sw {
namespace {

/// The second set of models was made with a Python that sums in another order: its README says how far.
Tolerance tolerance_of(const std::string& name) {
  return {.logits = testing::golden_folder(name).starts_with("golden_next") ? 2e-4f : 1e-4f};
}

class ModelGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(ModelGolden, TraceEqualsThePython) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  for (const char* sequence : {"seq0", "seq1"})
    expect_golden(golden, sequence, {.n_thread = 2, .n_ubatch = kAll}, tolerance_of(GetParam()));
}

TEST_P(ModelGolden, ReferencesEqualThePython) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  expect_golden(golden, "seq0", {.n_ubatch = kAll, .references = true}, tolerance_of(GetParam()));
}

TEST_P(ModelGolden, AnyUbatchAndThreadsGiveTheSameBits) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  const std::vector<float> expected =
      Safetensors::to_f32(trace(golden, "seq0", {.n_ubatch = kAll}).require("logits"));
  for (const int64_t n_ubatch : {1, 7, 13, 48}) {
    for (const int n_thread : {1, 3}) {
      const Safetensors got = trace(golden, "seq0", {.n_thread = n_thread, .n_ubatch = n_ubatch});
      EXPECT_EQ(Safetensors::to_f32(got.require("logits")), expected)
          << n_ubatch << " tokens, " << n_thread << " threads";
    }
  }
}

TEST_P(ModelGolden, GreedyIdsEqualThePython) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  EXPECT_EQ(greedy(golden, {.n_thread = 2}), golden.ints("greedy.ids"));
}

INSTANTIATE_TEST_SUITE_P(Models, ModelGolden, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& info) { return std::string(info.param); });

/// Its converter refuses some valid checkpoints (see the README of interop) and knows no LongCat; of our own
/// qwen2 and of the second set of models there is no file of its.
bool is_in_interop(std::string_view name) {
  return name != "glm4_moe" && name != "qwen3_moe_sparse2" && name != "qwen2" && name != "lfm2_moe" &&
         !name.starts_with("longcat");
}

TEST(ModelInterop, MainlinesFilesGiveTheSameLogits) {
  for (const char* name : kGoldenModels) {
    if (!is_in_interop(name)) continue;
    SW_DATA_OR_SKIP(folder, testing::golden_folder(name));
    if (unknown_architecture(folder)) continue;
    SW_DATA_OR_SKIP(theirs, std::string("interop/") + name + ".gguf");
    Golden golden(folder);
    const std::vector<float> ours = Safetensors::to_f32(trace(golden, "seq0", {}).require("logits"));
    golden.model = std::make_unique<Model>(theirs);
    EXPECT_EQ(Safetensors::to_f32(trace(golden, "seq0", {}).require("logits")), ours) << name;
  }
}

}  // namespace
}  // namespace sw
