// SPDX-License-Identifier: MIT
// Every golden model in the formats that `convert` writes, and cut into parts and put together again.
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>

#include "arch/spec.h"
#include "base/file.h"
#include "convert/split.h"
#include "formats/json.h"
#include "golden/ling_golden.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

/// The golden models whose architecture is known, by name.
std::map<std::string, fs::path> known_models(const fs::path& golden) {
  std::map<std::string, fs::path> models;
  for (const auto& entry : fs::directory_iterator(golden)) {
    const fs::path config = entry.path() / "config.json";
    if (!fs::exists(config)) continue;
    const std::string name = parse_json(read_file(config), config)["architectures"][0];
    const bool known = std::ranges::any_of(all_archs(), [&](const ArchSpec* arch) {
      return std::ranges::find(arch->hf_classes, name, &HfClass::name) != arch->hf_classes.end();
    });
    if (known) models[entry.path().filename()] = entry.path();
  }
  return models;
}

std::vector<float> logits(const Model& model, const std::vector<int32_t>& ids, const fs::path& out) {
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model.moe_layers(), {}),
                       1);
  Forward forward(model, policies, {});
  write_trace(forward, model, ids, {}, out);
  return Safetensors::to_f32(Safetensors(out).require("logits"));
}

/// How far logits may be from the Python's, as relative errors. With rows of 32 to 128 a rounding weighs more
/// than in a model of common size, and one token whose experts change brings most of the larger figures:
/// without experts (llama, qwen3) they are small.
struct FormatTolerance {
  double bf16 = 0.03, q8_0 = 0.25;
};
const std::map<std::string, FormatTolerance> kTolerances = {{"bailing_moe_v2", {0.06, 0.12}},
                                                            {"bailing_moe_v2_mtp", {0.02, 0.24}},
                                                            {"bailing_moe_v2_qkvbias", {0.02, 0.18}},
                                                            {"glm4_moe", {0.02, 0.15}},
                                                            {"gpt_oss", {0.03, 0.25}},
                                                            {"llama", {0.02, 0.06}},
                                                            {"llama_llama3rope", {0.01, 0.05}},
                                                            {"mixtral", {0.02, 0.06}},
                                                            {"olmoe", {0.02, 0.10}},
                                                            {"qwen3", {0.01, 0.05}},
                                                            {"qwen3_moe", {0.02, 0.13}},
                                                            {"qwen3_moe_bf16_sharded", {1e-5, 0.05}},
                                                            {"qwen3_moe_sparse2", {0.02, 0.12}}};

FormatTolerance tolerance_of(const std::string& model) {
  const auto at = kTolerances.find(model);
  return at == kTolerances.end() ? FormatTolerance{} : at->second;
}

/// Rows that a block does not divide are F16, and a note says so.
void expect_types(const GgufFile& file, Type type, const ConvertReport& report) {
  const auto n_of = [&](Type wanted) {
    return std::ranges::count(file.tensors(), static_cast<uint32_t>(wanted), &GgufTensor::type_id);
  };
  EXPECT_GT(n_of(type), 0);
  EXPECT_EQ(n_of(type) + n_of(Type::F32) + n_of(Type::F16), std::ssize(file.tensors()));
  const bool said = std::ranges::any_of(
      report.notes, [](const std::string& note) { return note.find("tensors are F16") != note.npos; });
  EXPECT_EQ(n_of(Type::F16) > 0, said);
}

TEST(GoldenFormats, SixteenAndEightBitsStayCloseToThePython) {
  SW_DATA_OR_SKIP(golden, "golden");
  for (const auto& [name, folder] : known_models(golden)) {
    const Safetensors expected(folder / "golden.safetensors");
    const std::vector<int32_t> ids = Safetensors::to_i32(expected.require("seq0.ids"));
    const std::vector<float> python = Safetensors::to_f32(expected.require("seq0.logits"));
    const FormatTolerance tolerance = tolerance_of(name);
    for (const auto& [type, limit] : {std::pair{Type::BF16, tolerance.bf16}, {Type::Q8_0, tolerance.q8_0}}) {
      SCOPED_TRACE(name + " as " + type_name(type));
      const testing::ConvertedFile file(folder, type);
      const Model model(file.path());
      expect_types(model.file(), type, file.report());
      EXPECT_LE(testing::relative_error(logits(model, ids, file.folder() / "t"), python), limit);
    }
  }
}

TEST(GoldenFormats, SplitAndMergedModelsAreTheSame) {
  SW_DATA_OR_SKIP(golden, "golden");
  const testing::TempDir temp;
  const fs::path merged = temp.path() / "merged.gguf";
  for (const auto& [name, folder] : known_models(golden)) {
    SCOPED_TRACE(name);
    const Safetensors expected(folder / "golden.safetensors");
    const std::vector<int32_t> ids = Safetensors::to_i32(expected.require("seq0.ids"));
    const testing::ConvertedFile whole(folder);
    const auto parts =
        split_gguf(whole.path(), temp.path() / name, {.max_tensors = 10, .first_without_tensors = true});
    EXPECT_GT(parts.size(), 2u);
    const std::vector<float> of_parts = logits(Model(parts[0].path), ids, temp.path() / "t");
    EXPECT_LE(testing::largest_error(of_parts, Safetensors::to_f32(expected.require("seq0.logits"))), 1e-4);
    merge_gguf(parts[0].path, merged);
    EXPECT_TRUE(read_file(merged) == read_file(whole.path()));
    EXPECT_EQ(logits(Model(merged), ids, temp.path() / "t"), of_parts);
  }
}

TEST(GoldenFormats, MainlinesQuantizedModelHasOurTypesAndLoads) {
  SW_DATA_OR_SKIP(path, "interop/fable-ling-Q4_K_M.gguf");
  const Model theirs(path), ours(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  ASSERT_EQ(theirs.file().tensors().size(), ours.file().tensors().size());
  for (const GgufTensor& tensor : theirs.file().tensors()) {
    const GgufTensor* own = ours.file().find_tensor(tensor.name);
    ASSERT_TRUE(own) << tensor.name;
    EXPECT_EQ(own->type_id, tensor.type_id) << tensor.name;
    EXPECT_EQ(own->shape, tensor.shape) << tensor.name;
  }
  EXPECT_EQ(theirs.weight_bytes(), ours.weight_bytes());
  const testing::TempDir temp;
  const std::vector<int32_t> ids = {1, 50, 100, 200, 300, 400, 500, 600};
  const std::vector<float> expected = logits(ours, ids, temp.path() / "t");
  // Two searches for the best scales: alike, not equal.
  EXPECT_LE(testing::relative_error(logits(theirs, ids, temp.path() / "t"), expected), 0.2);
}

}  // namespace
}  // namespace sw
