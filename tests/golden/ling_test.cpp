// SPDX-License-Identifier: MIT
// Ling against the outputs of its original Python: converted, traced and decoded greedily.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "convert/convert_hf.h"
#include "engine/engine.h"
#include "eval/trace.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace sw {
namespace {

constexpr int64_t kAll = 512;

/// A golden model converted to f32, and what it should give.
struct Golden {
  explicit Golden(const std::filesystem::path& folder) : expected(folder / "golden.safetensors") {
    convert_hf(folder, temp.path() / "model.gguf", {.out_type = Type::F32});
    model = std::make_unique<Model>(temp.path() / "model.gguf");
  }
  std::vector<int32_t> ints(const std::string& name) const {
    return Safetensors::to_i32(expected.require(name));
  }
  std::vector<float> floats(const std::string& name) const {
    return Safetensors::to_f32(expected.require(name));
  }

  testing::TempDir temp;
  Safetensors expected;
  std::unique_ptr<Model> model;
};

Safetensors trace(const Golden& golden, const std::string& sequence, const ForwardOptions& options) {
  PolicyTable policies(golden.model->moe_layers(), golden.model->hparams().n_layer,
                       experts_needed(*golden.model, {}), 1);
  Forward forward(*golden.model, policies, options);
  const std::filesystem::path out = golden.temp.path() / "trace.safetensors";
  write_trace(forward, *golden.model, golden.ints(sequence + ".ids"), {.hidden = true}, out);
  return Safetensors(out);
}

void expect_near(const std::vector<float>& got, const std::vector<float>& expected, float absolute,
                 float relative, const std::string& name) {
  ASSERT_EQ(got.size(), expected.size()) << name;
  float worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::abs(got[i] - expected[i]) - relative * std::abs(expected[i]));
  }
  EXPECT_LE(worst, absolute) << name;
}

void expect_same_experts(std::vector<int32_t> got, std::vector<int32_t> expected, size_t k,
                         const std::string& name) {
  ASSERT_EQ(got.size(), expected.size()) << name;
  for (size_t row = 0; row < got.size(); row += k) {
    std::sort(&got[row], &got[row] + k);
    std::sort(&expected[row], &expected[row] + k);
  }
  EXPECT_EQ(got, expected) << name;
}

/// Every key of the golden sequence against the trace.
void expect_golden(const Golden& golden, const std::string& sequence, const ForwardOptions& options) {
  const Safetensors got = trace(golden, sequence, options);
  const float scale = golden.model->hparams().moe.weights_scale;
  int n_compared = 0;
  for (const auto& [name, tensor] : golden.expected.tensors()) {
    if (!name.starts_with(sequence + ".") || name.ends_with(".ids") ||
        name.find(".mtp.") != std::string::npos)
      continue;
    const std::string key = name.substr(sequence.size() + 1);
    const StTensor& ours = got.require(key);
    EXPECT_EQ(ours.shape, tensor.shape) << name;
    ++n_compared;
    if (key.ends_with("topk_ids")) {
      expect_same_experts(Safetensors::to_i32(ours), Safetensors::to_i32(tensor),
                          static_cast<size_t>(tensor.shape[1]), name);
    } else if (key.ends_with("topk_weights")) {
      expect_near(Safetensors::to_f32(ours), Safetensors::to_f32(tensor), 1e-5f * scale, 0, name);
    } else if (key == "logits") {
      expect_near(Safetensors::to_f32(ours), Safetensors::to_f32(tensor), 1e-4f, 0, name);
    } else {
      expect_near(Safetensors::to_f32(ours), Safetensors::to_f32(tensor), 2e-4f, 1e-5f, name);
    }
  }
  EXPECT_GE(n_compared, 11);
}

class LingGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(LingGolden, TraceEqualsThePython) {
  SW_DATA_OR_SKIP(folder, std::string("golden/") + GetParam());
  const Golden golden(folder);
  for (const char* sequence : {"seq0", "seq1"})
    expect_golden(golden, sequence, {.n_thread = 2, .n_ubatch = kAll});
}

TEST_P(LingGolden, ReferencesEqualThePython) {
  SW_DATA_OR_SKIP(folder, std::string("golden/") + GetParam());
  const Golden golden(folder);
  expect_golden(golden, "seq0", {.n_ubatch = kAll, .references = true});
}

TEST_P(LingGolden, AnyUbatchAndThreadsGiveTheSameBits) {
  SW_DATA_OR_SKIP(folder, std::string("golden/") + GetParam());
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

TEST_P(LingGolden, GreedyIdsEqualThePython) {
  SW_DATA_OR_SKIP(folder, std::string("golden/") + GetParam());
  const Golden golden(folder);
  Engine engine(*golden.model, {.forward = {.n_thread = 2}, .cache_type = Type::F32});
  const std::vector<int32_t> expected = golden.ints("greedy.ids");
  SequenceRequest request{.prompt = golden.ints("greedy.prompt"),
                          .n_predict = static_cast<int64_t>(expected.size())};
  request.sampler.temperature = 0;
  engine.submit(std::move(request));
  std::vector<int32_t> got;
  while (!engine.idle()) {
    for (const StepEvent& event : engine.step()) got.push_back(event.token);
  }
  EXPECT_EQ(got, expected);
}

INSTANTIATE_TEST_SUITE_P(Models, LingGolden,
                         ::testing::Values("bailing_moe_v2", "bailing_moe_v2_qkvbias", "bailing_moe_v2_mtp"),
                         [](const auto& info) { return std::string(info.param); });

TEST(LingInterop, MainlinesFilesGiveTheSameLogits) {
  for (const char* name : {"bailing_moe_v2", "bailing_moe_v2_qkvbias", "bailing_moe_v2_mtp"}) {
    SW_DATA_OR_SKIP(theirs, std::string("interop/") + name + ".gguf");
    SW_DATA_OR_SKIP(folder, std::string("golden/") + name);
    Golden golden(folder);
    const std::vector<float> ours = Safetensors::to_f32(trace(golden, "seq0", {}).require("logits"));
    golden.model = std::make_unique<Model>(theirs);
    EXPECT_EQ(Safetensors::to_f32(trace(golden, "seq0", {}).require("logits")), ours) << name;
  }
}

}  // namespace
}  // namespace sw
