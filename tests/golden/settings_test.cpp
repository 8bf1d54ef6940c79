// SPDX-License-Identifier: MIT
// Settings that a family's class has and its golden model does not use, against the class with each of them.
#include <gtest/gtest.h>
#include <regex>

#include "golden/golden_models.h"
#include "support/gpus.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

std::filesystem::path settings_dir() { return testing::source_dir() / "tests/data/golden/settings"; }

nlohmann::json all_cases() { return nlohmann::json::parse(read_file(settings_dir() / "cases.json")); }

std::vector<std::string> case_names() {
  const nlohmann::json cases = all_cases();
  std::vector<std::string> names;
  for (const auto& item : cases.items()) names.push_back(item.key());
  return names;
}

/// A golden model with a case's keys laid over its config and the case's tensors added: see
/// tests/tools/make_settings.py.
class SettingsCase {
 public:
  SettingsCase(const std::filesystem::path& model, const std::string& name)
      : case_(settings_dir() / (name + ".safetensors")), folder_(model) {
    const nlohmann::json keys = all_cases().at(name).at("config");
    folder_.edit_config([&](nlohmann::json& config) {
      for (const auto& [key, value] : keys.items())
        config[nlohmann::json::json_pointer("/" + std::regex_replace(key, std::regex("\\."), "/"))] = value;
    });
    folder_.edit_tensors([&](testing::HfFolder::Tensors& tensors) {
      for (const auto& [tensor, stored] : case_.tensors()) {
        if (tensor.starts_with("w:")) tensors[tensor.substr(2)] = {stored.shape, Safetensors::to_f32(stored)};
      }
    });
    std::filesystem::copy(settings_dir() / (name + ".safetensors"), folder_.path() / "golden.safetensors");
    golden_.emplace(folder_.path());
  }

  const Golden& golden() const { return *golden_; }
  /// How far the logits are from the Python's, which read all tokens at once.
  float off(ForwardOptions options) const {
    const std::vector<int32_t> ids = golden_->ints("ids");
    options.n_ctx = std::ssize(ids);
    const Safetensors got = trace_ids(*golden_, ids, options);
    const StTensor& logits = got.require("logits");
    const std::vector<float> all = Safetensors::to_f32(logits);
    std::vector<float> picked;
    for (const int32_t p : golden_->ints("positions")) {
      for (const int32_t c : golden_->ints("columns"))
        picked.push_back(all[static_cast<size_t>(p * logits.shape[1] + c)]);
    }
    return static_cast<float>(testing::largest_error(picked, golden_->floats("logits")));
  }

 private:
  Safetensors case_;
  testing::HfFolder folder_;
  std::optional<Golden> golden_ = {};
};

std::string model_of(const std::string& name) { return all_cases().at(name).at("model"); }

class SettingsGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(SettingsGolden, EqualsThePython) {
  SW_GOLDEN_OR_SKIP(model, model_of(GetParam()));
  const SettingsCase settings(model, GetParam());
  float most = 0;
  for (const ForwardOptions& options :
       {ForwardOptions{.n_thread = 2, .n_ubatch = kAll}, ForwardOptions{.n_ubatch = 7},
        ForwardOptions{.n_ubatch = 1}, ForwardOptions{.n_ubatch = kAll, .references = true}}) {
    const float off = settings.off(options);
    EXPECT_LE(off, Tolerance().logits) << options.n_ubatch << " tokens at once";
    most = std::max(most, off);
  }
  RecordProperty("most_off", std::to_string(most));
}

TEST_P(SettingsGolden, EqualsThePythonOnGpus) {
  SW_GOLDEN_OR_SKIP(folder, model_of(GetParam()));
  SW_GPUS_OR_SKIP(devices);
  const SettingsCase settings(folder, GetParam());
  const Model& model = *settings.golden().model;
  const PlacedModel placed(model, devices, place(model, devices, {}));
  for (const int64_t n_ubatch : {kAll, int64_t{1}})
    EXPECT_LE(settings.off({.n_ubatch = n_ubatch, .placed = &placed}), kGpuTolerance.logits);
}

/// A file may say a step between layers without a window in place of a list: 1 leaves none with it.
TEST(WindowPattern, OfAFileMayBeANumber) {
  SW_GOLDEN_OR_SKIP(model, "gpt_oss");
  const SettingsCase listed(model, "gpt_oss_full");
  Golden counted(model);
  const auto ids = listed.golden().ints("ids");
  const auto logits = [&](const Golden& golden) {
    return Safetensors::to_f32(trace_ids(golden, ids, {}).require("logits"));
  };
  const std::vector<float> every_other = logits(counted);
  EXPECT_NE(every_other, logits(listed.golden()));
  counted.model = std::make_unique<Model>(
      counted.file.path(),
      LoadOptions{.overrides = {parse_key_override("gpt-oss.attention.sliding_window_pattern=int:1")}});
  EXPECT_EQ(logits(counted), logits(listed.golden()));
}

INSTANTIATE_TEST_SUITE_P(Cases, SettingsGolden, ::testing::ValuesIn(case_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace sw
