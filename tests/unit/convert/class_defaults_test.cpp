// SPDX-License-Identifier: MIT
// A key that a config leaves out is what the model's class has, or is refused.
#include <gtest/gtest.h>

#include "base/error.h"
#include "convert/hf_config.h"
#include "support/refusal.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;

struct ClassValues {
  const char* model = nullptr;
  const char* values = nullptr;
};
/// By transformers 5.24: AutoConfig of the golden model's config without the key. null: the class has none.
/// Ling 2.0's class is not in it: these are the values of its own configuration_bailing_moe_v2.py.
constexpr ClassValues kClasses[] = {
    {"golden/bailing_moe_v2", R"({
      "first_k_dense_replace": 1, "max_position_embeddings": 32768, "moe_intermediate_size": 512,
      "n_group": 8, "norm_topk_prob": 1, "num_experts": 256, "num_experts_per_tok": 8,
      "num_shared_experts": 1, "rms_norm_eps": 1e-06, "rope_theta": 600000,
      "routed_scaling_factor": 1, "topk_group": 4})"},
    {"golden/llama", R"({
      "head_dim": 16, "max_position_embeddings": 2048, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
      "rope_theta": 10000})"},
    {"golden/qwen2", R"({
      "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 10000})"},
    {"golden/mixtral", R"({
      "max_position_embeddings": 131072, "num_experts_per_tok": 2, "num_local_experts": 8,
      "rms_norm_eps": 1e-05, "rope_theta": 1000000})"},
    {"golden/qwen3", R"({
      "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 10000})"},
    {"golden/qwen3_moe", R"({
      "decoder_sparse_step": 1, "max_position_embeddings": 32768, "moe_intermediate_size": 768,
      "norm_topk_prob": 0, "num_experts": 128, "num_experts_per_tok": 8, "rms_norm_eps": 1e-06,
      "rope_theta": 10000})"},
    {"golden/qwen3_vl_moe", R"({
      "decoder_sparse_step": 1, "max_position_embeddings": 128000, "moe_intermediate_size":
      1408, "num_experts": 60, "num_experts_per_tok": 4, "rms_norm_eps": 1e-06, "rope_theta":
      500000})"},
    {"golden/olmoe", R"({
      "max_position_embeddings": 4096, "norm_topk_prob": 0, "num_experts": 64,
      "num_experts_per_tok": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000})"},
    {"golden/glm4_moe", R"({
      "partial_rotary_factor": 0.5, "max_position_embeddings": 131072, "moe_intermediate_size":
      1408, "n_group": 1, "n_routed_experts": 128, "n_shared_experts": 1, "norm_topk_prob": 1,
      "num_experts_per_tok": 8, "first_k_dense_replace": 1, "rms_norm_eps": 1e-05, "rope_theta":
      10000, "num_nextn_predict_layers": 1, "routed_scaling_factor": 1, "topk_group": 1})"},
    {"golden/gpt_oss", R"({
      "max_position_embeddings": 131072, "num_experts_per_tok": 4, "num_local_experts": 128,
      "rms_norm_eps": 1e-05, "rope_theta": 150000, "sliding_window": 128, "swiglu_limit": 7})"},
    {"golden/deepseek_v2", R"({
      "first_k_dense_replace": 0, "kv_lora_rank": 512, "max_position_embeddings": 2048,
      "moe_intermediate_size": 1407, "n_group": 1, "n_routed_experts": 64, "n_shared_experts":
      2, "norm_topk_prob": 0, "num_experts_per_tok": null, "qk_nope_head_dim": 128,
      "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
      "routed_scaling_factor": 1, "topk_group": 1, "v_head_dim": 128})"},
    {"golden/deepseek_v3", R"({
      "first_k_dense_replace": 3, "kv_lora_rank": 512, "max_position_embeddings": 4096,
      "moe_intermediate_size": 2048, "n_group": 8, "n_routed_experts": 256, "n_shared_experts":
      1, "norm_topk_prob": 1, "num_experts_per_tok": 8, "num_nextn_predict_layers": 1,
      "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps":
      1e-06, "rope_theta": 10000, "routed_scaling_factor": 2.5, "topk_group": 4, "v_head_dim":
      128})"},
    {"golden/longcat_flash", R"({
      "expert_ffn_hidden_size": 2048, "kv_lora_rank": 512, "q_lora_rank": 1536,
      "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128,
      "routed_scaling_factor": 6, "n_routed_experts": 512, "rms_norm_eps": 1e-05, "rope_theta":
      10000000, "max_position_embeddings": 131072, "zero_expert_num": 256, "moe_topk": 12})"},
    {"golden_next/lfm2_moe", R"({
      "conv_L_cache": 3, "max_position_embeddings": 128000, "moe_intermediate_size": 1792,
      "norm_eps": 1e-05, "norm_topk_prob": 1, "num_dense_layers": 2, "num_experts": 32,
      "num_experts_per_tok": 4, "routed_scaling_factor": 1})"},
};

/// Sizes that only a config can say, in any family.
constexpr const char* kNeeded[] = {"hidden_size", "num_hidden_layers",   "num_layers",
                                   "vocab_size",  "num_attention_heads", "ffn_hidden_size"};

json& text_config(json& config) { return config.contains("text_config") ? config["text_config"] : config; }

/// The hyperparameter that a config's key says.
double value_of(const HfConfig& config, const std::string& key) {
  const ArchSpec& arch = config.arch();
  std::vector<ReadKey> read;
  config.hparams(arch, &read);
  for (const ReadKey& r : read) {
    const std::string names = "|" + std::string(r.key->hf) + "|";
    if (names.find("|" + key + "|") != std::string::npos) return r.value;
  }
  ADD_FAILURE() << arch.name << " does not read " << key;
  return 0;
}

/// The golden model's config without a key. gpt-oss says one number twice.
void write_without(const HfFolder& folder, const json& config, const std::string& key) {
  json without = config;
  text_config(without).erase(key);
  if (key == "num_experts_per_tok") without.erase("experts_per_token");
  folder.write("config.json", without.dump());
}

class ClassDefaults : public ::testing::TestWithParam<ClassValues> {};

TEST_P(ClassDefaults, AreThoseOfTransformers) {
  SW_DATA_OR_SKIP(golden, GetParam().model);
  const HfFolder folder(golden);
  const json config = json::parse(read_file(folder.path() / "config.json"));
  const json values = json::parse(GetParam().values);
  for (const auto& item : values.items()) {
    const std::string& key = item.key();
    const json& value = item.value();
    SCOPED_TRACE(key);
    write_without(folder, config, key);
    const HfConfig without(folder.path() / "config.json");
    // DeepSeek's next-token layers are not taken over, whatever their number.
    if (without.arch().name == "deepseek2" && key == "num_nextn_predict_layers") continue;
    if (value.is_null()) {
      testing::expect_refused([&] { value_of(without, key); }, key);
    } else {
      EXPECT_FLOAT_EQ(static_cast<float>(value_of(without, key)), value.get<float>());
    }
  }
}

TEST_P(ClassDefaults, ShapesAreNeverGuessed) {
  SW_DATA_OR_SKIP(golden, GetParam().model);
  const HfFolder folder(golden);
  json config = json::parse(read_file(folder.path() / "config.json"));
  for (const std::string key : kNeeded) {
    if (!text_config(config).contains(key)) continue;
    write_without(folder, config, key);
    const HfConfig without(folder.path() / "config.json");
    testing::expect_refused([&] { without.hparams(without.arch()); }, key);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ClassDefaults, ::testing::ValuesIn(kClasses), [](const auto& info) {
  const std::string model = info.param.model;
  return model.substr(model.find('/') + 1);
});

class ConfigKeys : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_DATA_OR_SKIP(golden, "golden/qwen3_moe");
    folder_.emplace(golden);
  }
  double value(const char* key) const { return value_of(HfConfig(folder_->path() / "config.json"), key); }
  void check() const {
    const HfConfig config(folder_->path() / "config.json");
    config.check(config.arch(), config.hparams(config.arch()));
  }
  std::optional<HfFolder> folder_;
};

/// gpt-oss's class scales its rotation where a config does not say how.
TEST(ScalingOfAClass, IsThatOfGptOssAlone) {
  SW_DATA_OR_SKIP(golden, "golden/gpt_oss");
  const HfFolder folder(golden);
  folder.edit_config([](json& c) { c.erase("rope_scaling"); });
  const HfConfig without(folder.path() / "config.json");
  const RopeParams rope = without.hparams(without.arch()).rope;
  EXPECT_EQ(rope.kind(), RopeScaling::Yarn);
  EXPECT_EQ(rope.factor, 32);
  for (const auto& [key, value] :
       {std::pair("rope_scaling.original_max_position_embeddings", 4096),
        std::pair("rope_scaling.beta_fast", 32), std::pair("rope_scaling.beta_slow", 1),
        std::pair("rope_scaling.truncate", 0)})
    EXPECT_EQ(value_of(without, key), value) << key;
  SW_DATA_OR_SKIP(plain, "golden/olmoe");
  const HfFolder other(plain);
  other.edit_config([](json& c) { c.erase("rope_scaling"); });
  const HfConfig none(other.path() / "config.json");
  EXPECT_EQ(none.hparams(none.arch()).rope.kind(), RopeScaling::None);
}

TEST_F(ConfigKeys, BothSpellingsOfTheExpertCountAreRead) {
  for (const char* name : {"num_experts", "num_local_experts"}) {
    folder_->edit_config([&](json& c) {
      c.erase("num_experts");
      c.erase("num_local_experts");
      c[name] = 10;
    });
    EXPECT_EQ(value("num_experts"), 10) << name;
  }
}

/// transformers 5 says all about rotation in one object; what it does not say is the class's.
TEST_F(ConfigKeys, RopeParametersStandForTheOldKeys) {
  folder_->edit_config([&](json& c) {
    c.erase("rope_theta");
    c.erase("rope_scaling");
    c["rope_parameters"] = {{"rope_theta", 5000.0}, {"rope_type", "linear"}, {"factor", 4.0}};
  });
  EXPECT_EQ(value("rope_theta"), 5000);
  EXPECT_EQ(value("rope_scaling.factor"), 4);
  EXPECT_EQ(value("rope_scaling.type"), 1);
  folder_->edit_config([&](json& c) { c["rope_parameters"] = {{"rope_type", "default"}}; });
  EXPECT_EQ(value("rope_theta"), 10000);
  EXPECT_EQ(value("rope_scaling.type"), 0);
}

/// Ling-1T's config has the dimensions alone, Ling-mini's a share; both as here where both are there.
TEST(RotatedDimensions, AreReadFromEitherKey) {
  SW_DATA_OR_SKIP(golden, "golden/bailing_moe_v2");
  const HfFolder folder(golden);
  const auto n_rot = [&] {
    const HfConfig config(folder.path() / "config.json");
    const HParams h = config.hparams(config.arch());
    config.check(config.arch(), h);
    return h.rope.n_rot;
  };
  const int half = n_rot();
  folder.edit_config([](json& c) { c.erase("partial_rotary_factor"); });
  EXPECT_EQ(n_rot(), half);
  folder.edit_config([&](json& c) { c["rotary_dim"] = half / 2; });
  EXPECT_EQ(n_rot(), half / 2);
  folder.edit_config([](json& c) { c["partial_rotary_factor"] = 0.5; });
  testing::expect_refused([&] { n_rot(); }, "key rotary_dim");
  folder.edit_config([](json& c) { c.erase("rotary_dim"); });
  EXPECT_EQ(n_rot(), half);
}

TEST_F(ConfigKeys, RotatedDimensionsThatTheClassDoesNotReadAreRefused) {
  folder_->edit_config([](json& c) { c["rotary_dim"] = 4; });
  testing::expect_refused([&] { check(); }, "key rotary_dim");
}

TEST_F(ConfigKeys, UnknownOnesAreRefusedByName) {
  EXPECT_NO_THROW(check());
  for (const char* key : {"attn_logit_softcapping", "use_alibi", "rope_local_base_freq", "logits_scaling"}) {
    folder_->edit_config([&](json& c) { c[key] = 1; });
    testing::expect_refused([&] { check(); }, std::string("key ") + key);
    folder_->edit_config([&](json& c) { c[key] = nullptr; });
    EXPECT_NO_THROW(check()) << key;
  }
  folder_->edit_config([&](json& c) {
    c["rope_scaling"] = {{"type", "linear"}, {"factor", 2}, {"alpha", 3}};
  });
  testing::expect_refused([&] { check(); }, "key rope_scaling.alpha");
}

TEST_F(ConfigKeys, RopeScalingNeedsItsNumbers) {
  const auto scaling = [&](const json& value) {
    folder_->edit_config([&](json& c) { c["rope_scaling"] = value; });
  };
  scaling({{"factor", 2}});
  testing::expect_refused([&] { check(); }, "key rope_scaling.rope_type");
  for (const char* type : {"linear", "yarn", "llama3", "dynamic"}) {
    scaling({{"rope_type", type}});
    testing::expect_refused([&] { check(); }, "key rope_scaling.factor");
  }
  scaling({{"type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}});
  testing::expect_refused([&] { check(); }, "key rope_scaling.original_max_position_embeddings");
  scaling({{"type", "proportional"}, {"factor", 8}});
  testing::expect_refused([&] { check(); }, "proportional");
}

TEST_F(ConfigKeys, HarmlessOnesPass) {
  for (const char* key :
       {"_commit_hash", "gradient_checkpointing", "num_beams", "attention_dropout", "dtype"}) {
    folder_->edit_config([&](json& c) { c[key] = 1; });
    EXPECT_NO_THROW(check()) << key;
  }
}

}  // namespace
}  // namespace sw
