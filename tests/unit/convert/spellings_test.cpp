// SPDX-License-Identifier: MIT
// A config may say the same in other words: the file is the same. The other words are those with which the
// classes of transformers 5.24 read (attribute_map) and save (save_pretrained) the golden models' configs.
#include <gtest/gtest.h>

#include "convert/convert_hf.h"
#include "formats/gguf.h"
#include "support/refusal.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;

struct Spelling {
  const char* model = nullptr;  ///< below data/
  std::vector<std::string> keys = {};
  json instead = {};
};

/// Where the keys of a text model are.
json& text_of(json& config) { return config.contains("text_config") ? config["text_config"] : config; }

void respell(const HfFolder& folder, const Spelling& spelling) {
  folder.edit_config([&](json& config) {
    json& text = text_of(config);
    for (const std::string& key : spelling.keys) {
      EXPECT_TRUE(text.contains(key)) << key;
      text.erase(key);
    }
    text.update(spelling.instead);
  });
}

void expect_the_same_file(const Spelling& spelling) {
  SCOPED_TRACE(std::string(spelling.model) + " " + spelling.instead.dump());
  SW_DATA_OR_SKIP(golden, spelling.model);
  const HfFolder folder(golden);
  convert_hf(folder.path(), folder.out(), {});
  const std::string before = read_file(folder.out());
  respell(folder, spelling);
  convert_hf(folder.path(), folder.out(), {});
  EXPECT_TRUE(before == read_file(folder.out()));
}

TEST(Spellings, OfCountsAndWidths) {
  const Spelling all[] = {
      {"golden/mixtral", {"num_local_experts"}, {{"num_experts", 6}}},
      {"golden/qwen3_moe", {"num_experts"}, {{"num_local_experts", 10}}},
      {"golden/qwen3_vl_moe", {"num_experts"}, {{"num_local_experts", 4}}},
      {"golden/olmoe", {"num_experts"}, {{"num_local_experts", 10}}},
      {"golden/glm4_moe", {"n_routed_experts"}, {{"num_local_experts", 12}}},
      {"golden/glm4_moe", {"num_nextn_predict_layers"}, {{"num_mtp_layers", 1}}},
      {"golden/gpt_oss", {"num_local_experts"}, {{"num_experts", 10}}},
      {"golden/gpt_oss", {"num_experts_per_tok"}, {{"experts_per_token", 4}}},
      {"golden/deepseek_v2", {"n_routed_experts"}, {{"num_experts", 10}}},
      {"golden/deepseek_v3", {"n_routed_experts"}, {{"num_local_experts", 16}}},
      {"golden/longcat_flash", {"n_routed_experts"}, {{"num_local_experts", 8}}},
      {"golden/longcat_flash", {"moe_topk"}, {{"num_experts_per_tok", 3}}},
      {"golden/longcat_flash", {"ffn_hidden_size"}, {{"intermediate_size", 96}}},
      {"golden/longcat_flash", {"expert_ffn_hidden_size"}, {{"moe_intermediate_size", 32}}},
  };
  for (const Spelling& spelling : all) expect_the_same_file(spelling);
}

json parameters(const char* members) { return {{"rope_parameters", json::parse(members)}}; }

TEST(Spellings, OfRotation) {
  const Spelling all[] = {
      {"golden/gpt_oss",
       {"rope_theta", "rope_scaling"},
       parameters(R"({"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "rope_theta": 150000,
                      "original_max_position_embeddings": 64, "rope_type": "yarn", "truncate": false})")},
      {"golden/deepseek_v3_yarn",
       {"rope_theta", "rope_scaling"},
       parameters(R"({"beta_fast": 32, "beta_slow": 1, "factor": 8, "mscale": 1.0, "mscale_all_dim": 1.0,
                      "original_max_position_embeddings": 32, "rope_theta": 10000, "rope_type": "yarn",
                      "type": "yarn"})")},
      {"golden/llama_llama3rope",
       {"rope_theta", "rope_scaling"},
       parameters(R"({"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "rope_theta": 500000.0,
                      "original_max_position_embeddings": 32, "rope_type": "llama3"})")},
      {"golden/glm4_moe",
       {"rope_theta", "rope_scaling", "partial_rotary_factor"},
       parameters(R"({"partial_rotary_factor": 0.5, "rope_theta": 10000, "rope_type": "default"})")},
      {"golden/qwen3_vl_moe",
       {"rope_theta", "rope_scaling"},
       parameters(R"({"mrope_interleaved": true, "mrope_section": [4, 2, 2], "rope_theta": 10000,
                      "rope_type": "default"})")},
      {"golden/qwen3",
       {"rope_theta", "rope_scaling"},
       parameters(R"({"rope_theta": 1000000, "rope_type": "default"})")},
      {"golden/longcat_flash",
       {"rope_theta"},
       parameters(R"({"rope_theta": 10000.0, "rope_type": "default"})")},
  };
  for (const Spelling& spelling : all) expect_the_same_file(spelling);
}

/// transformers 5.24 takes the object's value where a key of old beside it says another.
TEST(Spellings, OfRotationInTheObjectGoBeforeKeysOfOld) {
  SW_DATA_OR_SKIP(golden, "golden/glm4_moe");
  const HfFolder folder(golden);
  respell(folder,
          {.instead = {{"rope_theta", 5000.0},
                       {"partial_rotary_factor", 0.25},
                       {"rope_scaling", nullptr},
                       {"rope_parameters", {{"rope_theta", 20000.0}, {"partial_rotary_factor", 0.5}}}}});
  convert_hf(folder.path(), folder.out(), {});
  const GgufFile file(folder.out());
  EXPECT_EQ(file.metadata().get_float("glm4moe.rope.freq_base"), 20000);
  EXPECT_EQ(file.metadata().get_int("glm4moe.rope.dimension_count"), 8);
}

TEST(Spellings, OfRotationThatContradictAreRefused) {
  SW_DATA_OR_SKIP(golden, "golden/llama");
  const HfFolder folder(golden);
  const auto convert = [&] { convert_hf(folder.path(), folder.out(), {}); };
  respell(folder, {.instead = {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}}},
                               {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}}}}});
  testing::expect_refused(convert, "a configuration says its rotation twice");
  const json one = {{"rope_type", "default"}, {"rope_theta", 1e4}};
  respell(folder, {.instead = {{"rope_scaling", nullptr},
                               {"rope_parameters", {{"full_attention", one}, {"sliding_attention", one}}}}});
  testing::expect_refused(convert, "one set of numbers for all layers");
}

}  // namespace
}  // namespace sw
