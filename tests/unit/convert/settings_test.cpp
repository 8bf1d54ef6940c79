// SPDX-License-Identifier: MIT
// Settings of a class: what a file says of them, and those that are refused by name.
#include <gtest/gtest.h>

#include "convert/convert_hf.h"
#include "convert/hf_config.h"
#include "formats/gguf.h"
#include "support/converted_file.h"
#include "support/refusal.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;

/// The metadata of a golden model's file with keys laid over its config.
GgufFile converted(const HfFolder& folder, const json& keys) {
  folder.edit_config([&](json& config) { config.update(keys); });
  convert_hf(folder.path(), folder.out(), {});
  return GgufFile(folder.out());
}

using Flags = std::vector<int64_t>;

TEST(Windows, OfEveryLayerAreASize) {
  SW_DATA_OR_SKIP(golden, "golden/mixtral");
  const HfFolder folder(golden);
  const GgufFile file = converted(folder, {{"sliding_window", 12}});
  EXPECT_EQ(file.metadata().get_int("llama.attention.sliding_window"), 12);
  EXPECT_FALSE(file.metadata().find("llama.attention.sliding_window_pattern"));
}

TEST(Windows, BehindAFirstLayerAreASizeAndAList) {
  SW_DATA_OR_SKIP(golden, "golden/qwen2");
  const HfFolder folder(golden);
  const GgufFile file =
      converted(folder, {{"use_sliding_window", true}, {"sliding_window", 12}, {"max_window_layers", 1}});
  EXPECT_EQ(file.metadata().get_int("qwen2.attention.sliding_window"), 12);
  EXPECT_EQ(file.metadata().get_bools_or_ints("qwen2.attention.sliding_window_pattern"), (Flags{0, 1}));
}

/// Qwen's configs have a size that its switch turns off, or no layer that it is for.
TEST(Windows, ThatNoLayerHasAreNotSaid) {
  SW_DATA_OR_SKIP(golden, "golden/qwen2");
  for (const json& keys :
       {json{{"use_sliding_window", false}, {"sliding_window", 12}},
        json{{"use_sliding_window", true}, {"sliding_window", 12}, {"max_window_layers", 2}},
        json{{"use_sliding_window", true}, {"sliding_window", nullptr}}}) {
    const HfFolder folder(golden);
    const GgufFile file = converted(folder, keys);
    EXPECT_FALSE(file.metadata().find("qwen2.attention.sliding_window")) << keys;
    EXPECT_FALSE(file.metadata().find("qwen2.attention.sliding_window_pattern")) << keys;
  }
}

/// The order that every reader takes for granted has no key; another has a list.
TEST(Windows, OfGptOssAreListedWhereTheyAreNotEveryOther) {
  SW_DATA_OR_SKIP(golden, "golden/gpt_oss");
  constexpr const char* kPattern = "gpt-oss.attention.sliding_window_pattern";
  const HfFolder folder(golden);
  EXPECT_FALSE(converted(folder, json::object()).metadata().find(kPattern));
  const GgufFile file =
      converted(folder, {{"layer_types", {"full_attention", "sliding_attention", "sliding_attention"}}});
  EXPECT_EQ(file.metadata().get_bools_or_ints(kPattern), (Flags{0, 1, 1}));
}

TEST(Clip, IsTheKeyOfOtherReaders) {
  SW_DATA_OR_SKIP(golden, "golden/olmoe");
  const HfFolder folder(golden);
  EXPECT_EQ(converted(folder, {{"clip_qkv", 8.0}}).metadata().get_float("olmoe.attention.clamp_kqv"), 8.0);
}

TEST(LongRope, IsTwoTensorsAndThreeKeys) {
  SW_DATA_OR_SKIP(golden, "golden/llama");
  const HfFolder folder(golden);
  const json factors = {1, 1, 2, 2, 3, 3, 4, 4};
  const GgufFile file = converted(folder, {{"rope_scaling",
                                            {{"type", "longrope"},
                                             {"original_max_position_embeddings", 32},
                                             {"attention_factor", 1.5},
                                             {"long_factor", factors},
                                             {"short_factor", factors}}}});
  EXPECT_EQ(file.metadata().get_string("llama.rope.scaling.type"), "longrope");
  EXPECT_EQ(file.metadata().get_int("llama.rope.scaling.original_context_length"), 32);
  EXPECT_EQ(file.metadata().get_float("llama.rope.scaling.attn_factor"), 1.5);
  for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    const GgufTensor* tensor = file.find_tensor(name);
    ASSERT_TRUE(tensor) << name;
    EXPECT_EQ(reinterpret_cast<const float*>(tensor->data)[2], 2.0f) << name;
  }
}

/// Dynamic scaling changes nothing in the context that the file names.
TEST(DynamicRope, IsPlainWithANote) {
  SW_DATA_OR_SKIP(golden, "golden/llama");
  const HfFolder folder(golden);
  folder.edit_config([](json& c) { c["rope_scaling"] = {{"type", "dynamic"}, {"factor", 4}}; });
  const ConvertReport report = convert_hf(folder.path(), folder.out(), {});
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("dynamic"), std::string::npos);
  EXPECT_NE(report.notes[0].find("512 tokens"), std::string::npos);
  const GgufFile file(folder.out());
  for (const auto& [key, value] : file.metadata().entries())
    EXPECT_EQ(key.find("rope.scaling"), std::string::npos) << key;
}

struct Refused {
  const char* model = nullptr;
  json keys = {};
  std::vector<std::string> said = {};  ///< the key, and its value or what is wrong with it
};

TEST(Settings, ThatDoNotWorkAreRefusedByName) {
  const json longrope = {{"type", "longrope"},
                         {"original_max_position_embeddings", 32},
                         {"long_factor", {1, 2}},
                         {"short_factor", {1, 1, 1, 1, 1, 1, 1, 1}}};
  const Refused all[] = {
      {"golden/llama", {{"sliding_window", 4096}}, {"key sliding_window", "4096"}},
      {"golden/llama", {{"rope_scaling", longrope}}, {"key rope_scaling.long_factor", "8 numbers"}},
      {"golden/qwen3_vl_moe", {{"use_sliding_window", true}}, {"key use_sliding_window", "true"}},
      {"golden/qwen3", {{"layer_types", {"full_attention"}}}, {"list of layers", "3"}},
      {"golden/qwen3", {{"layer_types", json(3, "sliding_attention")}}, {"key sliding_window"}},
      {"golden/qwen3", {{"layer_types", json(3, "chunked_attention")}}, {"key layer_types", "chunked"}},
      {"golden/qwen3_moe",
       {{"layer_types", json(3, "sliding_attention")}},
       {"key layer_types, layer 0", "full_attention"}},
      {"golden/olmoe", {{"clip_qkv", -1}}, {"limit of queries, keys and values", "-1"}},
      {"golden/deepseek_v3", {{"attention_bias", true}}, {"key attention_bias", "true"}},
      {"golden/bailing_moe_v2", {{"use_bias", true}}, {"key use_bias", "true"}},
  };
  for (const Refused& refused : all) {
    SW_DATA_OR_SKIP(golden, refused.model);
    const HfFolder folder(golden);
    const std::string said = testing::refusal([&] { converted(folder, refused.keys); });
    for (const std::string& part : refused.said)
      EXPECT_NE(said.find(part), std::string::npos) << refused.model << " " << refused.keys << ": " << said;
  }
}

}  // namespace
}  // namespace sw
