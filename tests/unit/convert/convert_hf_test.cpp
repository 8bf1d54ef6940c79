// SPDX-License-Identifier: MIT
#include "convert/convert_hf.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <set>

#include "arch/spec.h"
#include "base/error.h"
#include "formats/gguf.h"
#include "support/converted_file.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using testing::HfFolder;
using testing::TempDir;

bool same_bytes(const GgufTensor& a, const GgufTensor& b) {
  return a.size_bytes == b.size_bytes && std::memcmp(a.data, b.data, a.size_bytes) == 0;
}

bool may_differ(const std::string& key) {
  return key == "tokenizer.ggml.pre" ||
         (key.starts_with("general.") && key != "general.architecture" && key != "general.file_type" &&
          key != "general.quantization_version" && key != "general.type" &&
          !key.starts_with("general.sampling."));
}

bool is_known(const GgufFile& file) {
  const std::string name = file.metadata().require_string("general.architecture");
  return std::ranges::any_of(all_archs(), [&](const ArchSpec* arch) { return arch->name == name; });
}

class Interop : public ::testing::TestWithParam<const char*> {};

TEST_P(Interop, EqualsMainlinesFileKeyByKeyAndTensorByTensor) {
  const std::string model = GetParam();
  SW_DATA_OR_SKIP(folder, "golden/" + model);
  SW_DATA_OR_SKIP(reference, "interop/" + model + ".gguf");
  const GgufFile theirs(reference);
  if (!is_known(theirs))
    GTEST_SKIP() << theirs.metadata().require_string("general.architecture") << " is not known here";
  const testing::ConvertedFile converted(folder);
  const GgufFile ours(converted.path());

  for (const auto& [key, value] : theirs.metadata().entries()) {
    if (may_differ(key)) continue;
    const GgufValue* mine = ours.metadata().find(key);
    ASSERT_TRUE(mine) << key;
    EXPECT_EQ(mine->type, value.type) << key;
    EXPECT_EQ(mine->data.index(), value.data.index()) << key;
    if (const auto* array = std::get_if<GgufArray>(&value.data)) {
      const auto& my_array = std::get<GgufArray>(mine->data);
      EXPECT_EQ(my_array.element, array->element) << key;
      EXPECT_EQ(my_array.items, array->items) << key;
    } else {
      std::visit(
          [&, &name = key]<class T>(const T& held) {
            if constexpr (!std::is_same_v<T, GgufArray>) {
              EXPECT_EQ(std::get<T>(mine->data), held) << name;
            }
          },
          value.data);
    }
  }
  for (const auto& [key, value] : ours.metadata().entries()) {
    EXPECT_TRUE(theirs.metadata().find(key) || key.starts_with("tokenizer.switchyard."))
        << "an extra key: " << key;
  }

  EXPECT_EQ(converted.report().n_tensors, theirs.tensors().size());
  ASSERT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const GgufTensor& tensor : theirs.tensors()) {
    const GgufTensor* mine = ours.find_tensor(tensor.name);
    ASSERT_TRUE(mine) << tensor.name;
    EXPECT_EQ(mine->type_id, tensor.type_id) << tensor.name;
    EXPECT_EQ(mine->shape, tensor.shape) << tensor.name;
    EXPECT_TRUE(same_bytes(*mine, tensor)) << tensor.name;
  }
  EXPECT_EQ(converted.report().notes,
            model == "qwen3_vl_moe" ? std::vector<std::string>{"45 tensors are left out: the vision tower"}
                                    : std::vector<std::string>{});
}

constexpr const char* kInteropModels[] = {"bailing_moe_v2",
                                          "bailing_moe_v2_mtp",
                                          "bailing_moe_v2_qkvbias",
                                          "llama",
                                          "llama_llama3rope",
                                          "qwen3",
                                          "qwen3_moe",
                                          "qwen3_moe_bf16_sharded",
                                          "olmoe",
                                          "mixtral",
                                          "gpt_oss",
                                          "deepseek_v2",
                                          "deepseek_v3",
                                          "deepseek_v3_yarn",
                                          "qwen3_vl_moe"};
INSTANTIATE_TEST_SUITE_P(Golden, Interop, ::testing::ValuesIn(kInteropModels),
                         [](const auto& info) { return std::string(info.param); });

TEST(InteropList, EveryGoldenModelsFileIsCompared) {
  SW_DATA_OR_SKIP(files, "interop");
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(files)) {
    const std::string name = entry.path().stem();
    if (testing::find_data("golden/" + name)) names.insert(name);
  }
  EXPECT_EQ(names, std::set<std::string>(std::begin(kInteropModels), std::end(kInteropModels)));
}

class ConvertHf : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_DATA_OR_SKIP(golden, "golden/bailing_moe_v2");
    folder_.emplace(golden);
  }

  ConvertReport convert(const ConvertOptions& options = {}) const {
    return convert_hf(folder_->path(), folder_->out(), options);
  }
  /// The line with which the conversion refuses: it names the folder, and leaves no file behind.
  std::string refusal() const {
    try {
      convert();
    } catch (const Error& e) {
      for (const auto& entry : std::filesystem::directory_iterator(folder_->path())) {
        EXPECT_FALSE(entry.path().filename().string().starts_with("out.gguf")) << entry.path();
      }
      EXPECT_PRED_FORMAT2(::testing::IsSubstring, folder_->path().string(), std::string(e.what()));
      return e.what();
    }
    return "nothing was thrown";
  }
  void config(const char* key, const nlohmann::json& value) const {
    folder_->edit_config([&](nlohmann::json& c) { c[key] = value; });
  }

  std::optional<HfFolder> folder_;
};

#define EXPECT_REFUSES(text) EXPECT_PRED_FORMAT2(::testing::IsSubstring, text, refusal())

TEST_F(ConvertHf, AutoKeepsF32) {
  convert();
  const GgufFile file(folder_->out());
  EXPECT_EQ(file.metadata().require_int("general.file_type"), 0);
  for (const GgufTensor& tensor : file.tensors()) EXPECT_EQ(tensor.type_id, 0u) << tensor.name;
}

TEST_F(ConvertHf, SixteenBitTypesLeaveVectorsAndRoutersInF32) {
  for (const Type type : {Type::F16, Type::BF16}) {
    convert({.out_type = type});
    const GgufFile file(folder_->out());
    EXPECT_EQ(file.metadata().require_int("general.file_type"), type == Type::F16 ? 1 : 32);
    for (const GgufTensor& tensor : file.tensors()) {
      const bool small = tensor.shape.n_dims() == 1 || tensor.name.ends_with("ffn_gate_inp.weight");
      EXPECT_EQ(tensor.type_id, static_cast<uint32_t>(small ? Type::F32 : type)) << tensor.name;
    }
  }
}

TEST_F(ConvertHf, Q8FallsBackToF16WhereRowsAreTooShortAndSaysSo) {
  // Rows of 48: no multiple of 32.
  folder_->edit_tensors([](HfFolder::Tensors& tensors) {
    for (auto& [name, t] : tensors) {
      if (name.find(".mlp.experts.") == std::string::npos) continue;
      t.shape = name.ends_with("down_proj.weight") ? Shape{64, 48} : Shape{48, 64};
      t.values.resize(48 * 64);
    }
  });
  config("moe_intermediate_size", 48);
  const ConvertReport report = convert({.out_type = Type::Q8_0});
  const GgufFile file(folder_->out());
  EXPECT_EQ(file.metadata().require_int("general.file_type"), 7);
  EXPECT_EQ(file.find_tensor("blk.1.ffn_down_exps.weight")->type_id, static_cast<uint32_t>(Type::F16));
  EXPECT_EQ(file.find_tensor("blk.1.ffn_up_exps.weight")->type_id, static_cast<uint32_t>(Type::Q8_0));
  EXPECT_EQ(file.find_tensor("token_embd.weight")->type_id, static_cast<uint32_t>(Type::Q8_0));
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "2 tensors are F16", report.notes[0]);
}

/// The spelling of transformers 5 gives the file that the one before gives.
TEST_F(ConvertHf, RopeParametersMeanWhatSingleKeysMean) {
  convert();
  const std::string before = read_file(folder_->out());
  folder_->edit_config([](nlohmann::json& c) {
    c["rope_parameters"] = {{"rope_type", "default"}};
    for (const char* key : {"rope_theta", "partial_rotary_factor"}) {
      if (c.contains(key)) c["rope_parameters"][key] = c[key];
      c.erase(key);
    }
  });
  convert();
  EXPECT_TRUE(before == read_file(folder_->out()));
}

TEST_F(ConvertHf, RopeParametersThatMeanMoreAreRefused) {
  config("rope_parameters", {{"rope_type", "proportional"}, {"factor", 4}});
  EXPECT_REFUSES("proportional");
  config("rope_parameters", {{"full_attention", {{"rope_theta", 1e6}}}});
  EXPECT_REFUSES("one set of numbers for all layers");
}

TEST_F(ConvertHf, ThreadsDoNotChangeTheBytes) {
  convert({.out_type = Type::Q8_0, .n_thread = 1});
  const std::string one = read_file(folder_->out());
  convert({.out_type = Type::Q8_0, .n_thread = 3});
  EXPECT_TRUE(one == read_file(folder_->out()));
}

TEST_F(ConvertHf, ProgressCountsUpToEveryByte) {
  uint64_t last = 0, total = 0;
  const ConvertReport report = convert({.progress = [&](uint64_t done, uint64_t all) {
    EXPECT_GT(done, last);
    last = done;
    total = all;
  }});
  EXPECT_EQ(last, total);
  EXPECT_EQ(last, report.tensor_bytes);
}

TEST_F(ConvertHf, NameComesFromOptionOrFolder) {
  convert({.name = "Some Model"});
  EXPECT_EQ(GgufFile(folder_->out()).metadata().require_string("general.name"), "Some Model");
  const auto named = folder_->path() / "tiny-ling_v2";
  std::filesystem::create_directory(named);
  for (const char* file : {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}) {
    std::filesystem::rename(folder_->path() / file, named / file);
  }
  convert_hf(named / "", folder_->out());
  EXPECT_EQ(GgufFile(folder_->out()).metadata().require_string("general.name"), "Tiny Ling_V2");
}

TEST_F(ConvertHf, TiedCheckpointNeedsNoOutputMatrix) {
  config("tie_word_embeddings", true);
  folder_->edit_tensors(
      [](HfFolder::Tensors& t) { t["lm_head.weight"] = t["model.word_embeddings.weight"]; });
  EXPECT_EQ(convert().notes.size(), 1u);  // lm_head is there: left out, and said so
  EXPECT_FALSE(GgufFile(folder_->out()).find_tensor("output.weight"));
  folder_->edit_tensors([](HfFolder::Tensors& t) { t.erase("lm_head.weight"); });
  EXPECT_TRUE(convert().notes.empty());
  std::filesystem::remove(folder_->out());
  config("tie_word_embeddings", false);
  EXPECT_REFUSES("lm_head.weight");
}

TEST_F(ConvertHf, SharedWidthIsComputedWhereTheConfigLacksIt) {  // as Ling-1T's config does
  folder_->edit_config([](nlohmann::json& c) { c.erase("moe_shared_expert_intermediate_size"); });
  convert();
  EXPECT_EQ(GgufFile(folder_->out()).metadata().require_int("bailingmoe2.expert_shared_feed_forward_length"),
            32);
}

TEST_F(ConvertHf, RefusesAMissingTensor) {
  folder_->edit_tensors([](HfFolder::Tensors& t) { t.erase("model.layers.2.mlp.experts.7.up_proj.weight"); });
  EXPECT_REFUSES("model.layers.2.mlp.experts.7.up_proj.weight [32, 64]");
}

TEST_F(ConvertHf, RefusesTensorsItDoesNotKnow) {
  folder_->edit_tensors([](HfFolder::Tensors& t) {
    for (const char* name : {"a", "b", "c", "d"}) t[name] = {{1}, {0.0f}};
  });
  EXPECT_REFUSES("4 more: a, b, c, ...");
}

TEST_F(ConvertHf, RefusesTensorsOfALayerTheConfigDoesNotCount) {
  config("num_hidden_layers", 2);
  EXPECT_REFUSES("model.layers.2.attention.dense.weight");
}

TEST_F(ConvertHf, RefusesAWrongShape) {
  folder_->edit_tensors([](HfFolder::Tensors& t) {
    t["model.norm.weight"] = {{32}, std::vector<float>(32)};
  });
  EXPECT_REFUSES("model.norm.weight: expected [64] by config.json, got [32]");
}

TEST_F(ConvertHf, RefusesIntegerWeights) {
  SafetensorsWriter writer;
  writer.add("model.word_embeddings.weight", {512, 64}, std::vector<int32_t>(512 * 64));
  std::filesystem::remove(folder_->path() / "model.safetensors");
  writer.write(folder_->path() / "model.safetensors");
  EXPECT_REFUSES("got I32");
}

TEST_F(ConvertHf, RefusesAFolderThatLacksAFile) {
  for (const char* file : {"tokenizer.json", "model.safetensors", "config.json"}) {
    std::filesystem::remove(folder_->path() / file);
    EXPECT_REFUSES(file);
  }
}

TEST_F(ConvertHf, RefusesFiguresThatTheCheckpointDoesNotBearOut) {
  const struct {
    const char* key;
    nlohmann::json value;
    const char* refusal;
  } cases[] = {
      {"num_experts", 32'000, "model.layers.1.mlp.gate.weight"},
      {"num_experts", 10'000'000, "the key num_experts is out of range"},
      {"num_experts_per_tok", 17, "the key num_experts_per_tok is out of range"},
      {"topk_group", 9, "the key topk_group is out of range"},
      {"num_experts", 1'000'000'000, "a layer, width, head or expert count"},
      {"num_hidden_layers", 16'000'000, "model.layers.3."},
      {"num_hidden_layers", 0, "layer count"},
      {"num_hidden_layers", 1e300, "num_hidden_layers"},
      {"num_hidden_layers", -3, "num_hidden_layers"},
      {"num_hidden_layers", 2.5, "num_hidden_layers"},
      {"num_hidden_layers", 2147483647, "our limit"},
      {"num_nextn_predict_layers", 2147483647, "block_count"},
      {"moe_intermediate_size", 0, "wrong shape"},
      {"num_attention_heads", 0, "attention head count"},
      {"partial_rotary_factor", 1e30, "rotary_dim"},
      {"rms_norm_eps", 1e300, "rms_norm_eps"},
      {"vocab_size", 513, "wrong shape"},
      {"num_experts", "16", "key num_experts: expected a number or a boolean, got \"16\""},
      {"num_experts", {1, 2}, "got an array"},
      {"score_function", "tanh", "one of softmax, sigmoid, got tanh"},
      {"score_function", 2, "key score_function: expected a text"},
      {"hidden_size", nullptr, "hidden_size"},
      {"rope_scaling", {{"type", "yarn"}, {"mscale", 4}}, "key rope_scaling.factor"},
      {"quantization_config", {{"quant_method", "gptq"}}, "fp8, mxfp4, modelopt, compressed-tensors, got"},
      {"architectures", {"GPT2LMHeadModel"}, "one of BailingMoeV2ForCausalLM"},
      {"architectures", nullptr, "key architectures"},
      {"architectures", nlohmann::json::array(), "key architectures"},
      {"architectures", {7}, "key architectures"},
  };
  const std::string original = read_file(folder_->path() / "config.json");
  for (const auto& c : cases) {
    SCOPED_TRACE(c.key);
    config(c.key, c.value);
    EXPECT_REFUSES(c.refusal);
    folder_->write("config.json", original);
  }
}

TEST_F(ConvertHf, RefusesATokenizerThatNoReaderWouldTake) {  // found by fuzz_convert
  auto tokenizer = nlohmann::json::parse(read_file(folder_->path() / "tokenizer.json"));
  tokenizer["model"]["merges"][0] = "no-such-token a";
  folder_->write("tokenizer.json", tokenizer.dump());
  EXPECT_REFUSES("a merge names 'no-such-token'");
  EXPECT_REFUSES("tokenizer.json");
}

TEST_F(ConvertHf, RefusesAConfigThatIsNoObject) {
  for (const char* text : {"", "[]", "{", "7", "{\"num_experts\": NaN}", "{\"num_experts\": 1e999}"}) {
    folder_->write("config.json", text);
    EXPECT_REFUSES("config.json");
  }
  folder_->write("config.json", std::string(100'000, '['));
  EXPECT_REFUSES("nested too deeply");
}

TEST(OutType, IsOneOfFiveNames) {
  EXPECT_EQ(parse_out_type("bf16"), Type::BF16);
  EXPECT_EQ(parse_out_type("Q8_0"), Type::Q8_0);
  EXPECT_EQ(parse_out_type("auto"), std::nullopt);
  EXPECT_THROW(parse_out_type("q4_k"), Error);
  EXPECT_THROW(parse_out_type(""), Error);
}

TEST(ConvertBf16, KeepsEveryBit) {
  SW_DATA_OR_SKIP(folder, "models/fable-ling");
  const TempDir dir;
  convert_hf(folder, dir.path() / "out.gguf");
  const GgufFile file(dir.path() / "out.gguf");
  EXPECT_EQ(file.metadata().require_int("general.file_type"), 32);
  const Safetensors source(folder);
  const auto expect_same = [&](const char* gguf, const char* hf, size_t part) {
    const GgufTensor& tensor = *file.find_tensor(gguf);
    const auto& bytes = source.require(hf).data;
    EXPECT_EQ(tensor.type_id, static_cast<uint32_t>(Type::BF16));
    ASSERT_LE((part + 1) * bytes.size(), tensor.size_bytes);
    EXPECT_EQ(std::memcmp(tensor.data + part * bytes.size(), bytes.data(), bytes.size()), 0) << gguf;
  };
  expect_same("output.weight", "lm_head.weight", 0);
  expect_same("blk.5.ffn_down_exps.weight", "model.layers.5.mlp.experts.31.down_proj.weight", 31);
}

}  // namespace
}  // namespace sw
