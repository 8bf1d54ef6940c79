// SPDX-License-Identifier: MIT
// Dense layers between those with experts, as a config lists them.
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "golden/ling_golden.h"
#include "support/refusal.h"

namespace sw {
namespace {

/// The golden model says "every second layer"; the same said as a list is the same model.
TEST(DenseLayers, AListSaysWhatAStepSays) {
  SW_DATA_OR_SKIP(folder, "golden/qwen3_moe_sparse2");
  Golden golden(folder);
  const std::vector<float> expected = Safetensors::to_f32(trace(golden, "seq0", {}).require("logits"));
  const int n_layer = golden.model->hparams().n_layer;
  const auto n_moe = golden.model->moe_layers().size();

  const testing::TempDir temp;
  std::filesystem::copy(folder, temp.path(), std::filesystem::copy_options::recursive);
  std::filesystem::permissions(temp.path() / "config.json", std::filesystem::perms::owner_all);
  nlohmann::json config = nlohmann::json::parse(std::ifstream(folder / "config.json"));
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = nlohmann::json::array();
  for (int l = 0; l < n_layer; l += 2) config["mlp_only_layers"].push_back(l);
  std::ofstream(temp.path() / "config.json") << config;
  const testing::ConvertedFile listed(temp.path());
  golden.model = std::make_unique<Model>(listed.path());
  EXPECT_EQ(golden.model->hparams().moe.moe_step, 1);
  EXPECT_EQ(golden.model->moe_layers().size(), n_moe);
  EXPECT_EQ(Safetensors::to_f32(trace(golden, "seq0", {}).require("logits")), expected);
}

TEST(DenseLayers, NonsenseIsRefused) {
  SW_DATA_OR_SKIP(folder, "golden/qwen3_moe_sparse2");
  const testing::TempDir temp;
  nlohmann::json config = nlohmann::json::parse(std::ifstream(folder / "config.json"));
  for (const auto& list : {nlohmann::json(3), nlohmann::json::array({"1"}), nlohmann::json::array({-1})}) {
    config["mlp_only_layers"] = list;
    std::ofstream(temp.path() / "config.json") << config;
    testing::expect_refused([&] { testing::ConvertedFile{temp.path()}; }, "mlp_only_layers");
  }
}

}  // namespace
}  // namespace sw
