// SPDX-License-Identifier: MIT
// Every family with every number of experts per token, against its Python with that num_experts_per_tok.
#include <gtest/gtest.h>

#include "golden/golden_models.h"
#include "support/gpus.h"

namespace sw {
namespace {

std::filesystem::path counts_file(const std::string& name) {
  return testing::source_dir() / "tests/data/golden/expert_counts" / (name + ".safetensors");
}

std::vector<const char*> models_with_experts() {
  std::vector<const char*> names;
  for (const char* name : kGoldenModels) {
    if (std::filesystem::exists(counts_file(name))) names.push_back(name);
  }
  return names;
}

/// Logits of some positions and columns, as tests/tools/make_expert_counts.py wrote them.
struct Counts {
  explicit Counts(const std::string& name) : file(counts_file(name)) {}
  std::vector<int32_t> ints(const std::string& name) const { return Safetensors::to_i32(file.require(name)); }
  std::vector<float> expected(int n_used) const {
    return Safetensors::to_f32(file.require("n" + std::to_string(n_used) + ".logits"));
  }
  /// The same positions and columns of a trace's logits.
  std::vector<float> pick(const Safetensors& trace) const {
    const StTensor& logits = trace.require("logits");
    const std::vector<float> all = Safetensors::to_f32(logits);
    std::vector<float> picked;
    for (const int32_t p : ints("positions")) {
      for (const int32_t c : ints("columns"))
        picked.push_back(all[static_cast<size_t>(p * logits.shape[1] + c)]);
    }
    return picked;
  }

  Safetensors file;
};

/// The most experts that a token of any layer can have with the model's own groups.
int most_experts(const Model& model) {
  int most = 0;
  for (const MoeLayer& layer : model.moe_layers()) most = std::max(most, layer.router.max_k(true));
  return most;
}

RoutingPolicy with_experts(int n_used) {
  return {.experts_prefill = {{.k = n_used}}, .experts_decode = {{.k = n_used}}};
}

class ExpertCountsGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(ExpertCountsGolden, EveryNumberEqualsThePython) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden golden(folder);
  const Counts counts(GetParam());
  const int n_most = most_experts(*golden.model);
  ASSERT_EQ(std::ssize(counts.file.tensors()), n_most + 3);  // ids, positions and columns
  for (int n_used = 1; n_used <= n_most; ++n_used) {
    for (const ForwardOptions& options :
         {ForwardOptions{.n_thread = 2, .n_ubatch = kAll}, ForwardOptions{.n_ubatch = 1},
          ForwardOptions{.n_ubatch = kAll, .references = true}}) {
      const Safetensors got = trace_ids(golden, counts.ints("ids"), options, with_experts(n_used));
      EXPECT_LE(testing::largest_error(counts.pick(got), counts.expected(n_used)), Tolerance().logits)
          << n_used << " experts";
    }
  }
}

TEST_P(ExpertCountsGolden, EveryNumberEqualsThePythonOnGpus) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  SW_GPUS_OR_SKIP(devices);
  const Golden golden(folder);
  const Counts counts(GetParam());
  const PlacedModel placed(*golden.model, devices, place(*golden.model, devices, {}),
                           {.experts_max = most_experts(*golden.model)});
  for (int n_used = 1; n_used <= most_experts(*golden.model); ++n_used) {
    const Safetensors got =
        trace_ids(golden, counts.ints("ids"), {.n_ubatch = kAll, .placed = &placed}, with_experts(n_used));
    EXPECT_LE(testing::largest_error(counts.pick(got), counts.expected(n_used)), kGpuTolerance.logits)
        << n_used << " experts";
  }
}

TEST_P(ExpertCountsGolden, OverridingTheFilesNumberIsTheSame) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  const Golden plain(folder);
  const Counts counts(GetParam());
  const std::string key = std::string(plain.model->arch().name) + ".expert_used_count=int:";
  Golden overridden(folder);
  for (int n_used = 1; n_used <= most_experts(*plain.model); ++n_used) {
    overridden.model = std::make_unique<Model>(
        plain.file.path(), LoadOptions{.overrides = {parse_key_override(key + std::to_string(n_used))}});
    const Safetensors got = trace_ids(overridden, counts.ints("ids"), {});
    const Safetensors asked = trace_ids(plain, counts.ints("ids"), {}, with_experts(n_used));
    EXPECT_EQ(Safetensors::to_f32(got.require("logits")), Safetensors::to_f32(asked.require("logits")))
        << n_used << " experts";
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ExpertCountsGolden, ::testing::ValuesIn(models_with_experts()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace sw
