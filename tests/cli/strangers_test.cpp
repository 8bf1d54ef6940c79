// SPDX-License-Identifier: MIT
// Files of strangers that are sound as files and wrong as models, tokenizers or checkpoints: after published
// holes of other engines. Each is one line that names the file, and exit 1. (What is wrong with the files
// themselves stands in tests/support/broken_files.cpp.)
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/gguf.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

fs::path golden() { return source_dir() / "tests/data/golden/bailing_moe_v2"; }

void write(const fs::path& path, const std::string& text) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << text;
}

std::string repeated(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

/// Not a signal, no line but one, and that names the file.
void expect_refused(const ProcessResult& result, const std::string& file, const std::string& says) {
  EXPECT_EQ(result.exit_code, 1) << result.err;
  const size_t line = result.err.rfind("error: ");
  ASSERT_NE(line, std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin() + static_cast<std::ptrdiff_t>(line), result.err.end(), '\n'), 1)
      << result.err;
  EXPECT_NE(result.err.find(file, line), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(says, line), std::string::npos) << "lacks \"" << says << "\": " << result.err;
  EXPECT_LT(result.processor_s, kMaxRefusalSeconds);
}

/// The golden model as GGUF, to be written again with one key changed.
class StrangeModel : public ::testing::Test {
 protected:
  StrangeModel() {
    const std::string out = base();
    EXPECT_EQ(run_switchyard({"convert", golden().string(), "-o", out}).exit_code, 0);
  }
  std::string base() const { return temp_.path() / "base.gguf"; }
  std::string changed() const { return temp_.path() / "changed.gguf"; }

  void change(const std::string& key, const GgufValue& value) const {
    const GgufFile file{fs::path(base())};
    GgufWriter writer(changed());
    for (const auto& [name, old] : file.metadata().entries()) writer.set(name, old);
    writer.set(key, value);
    for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
    for (const GgufTensor& t : file.tensors()) writer.write_tensor({t.data, t.size_bytes});
    writer.finish();
  }
  ProcessResult run(const std::vector<std::string>& more = {}, const std::string& prompt = "Once") const {
    std::vector<std::string> arguments = {"run", "-m", changed(), "-p", prompt, "-n", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_switchyard(arguments);
  }

  TempDir temp_;
};

GgufValue u8s(std::vector<uint64_t> items) {
  return {.type = GgufType::Array, .data = GgufArray{.element = GgufType::U8, .items = std::move(items)}};
}

TEST_F(StrangeModel, FiguresThatCannotBe) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::pair<const char*, GgufValue> cases[] = {
      {"block_count", GgufValue::u32(0)},
      {"block_count", GgufValue::u32(0x7fffffff)},
      {"block_count", GgufValue::i32(-1)},
      {"block_count", GgufValue::string("3")},
      {"embedding_length", GgufValue::u32(0)},
      {"embedding_length", GgufValue::u32(63)},
      {"embedding_length", GgufValue::u64(uint64_t{1} << 61)},
      {"feed_forward_length", GgufValue::u32(0xffffffff)},
      {"vocab_size", GgufValue::u32(511)},
      {"attention.head_count", GgufValue::u32(0)},
      {"attention.head_count", GgufValue::u32(3)},
      {"attention.head_count_kv", GgufValue::u32(0)},
      {"attention.key_length", GgufValue::u32(1u << 31)},
      {"attention.value_length", GgufValue::u32(0)},
      {"attention.layer_norm_rms_epsilon", GgufValue::f32(nan)},
      {"rope.dimension_count", GgufValue::u32(7)},
      {"rope.dimension_count", GgufValue::u32(1000)},
      {"rope.freq_base", GgufValue::f32(std::numeric_limits<float>::infinity())},
      {"expert_count", GgufValue::u32(0x7fffffff)},
      {"expert_used_count", GgufValue::u32(0)},
      {"expert_used_count", GgufValue::u32(17)},
      {"expert_group_count", GgufValue::u32(7)},
      {"expert_group_used_count", GgufValue::u32(9)},
      {"expert_gating_func", GgufValue::u32(99)},
      {"leading_dense_block_count", GgufValue::u32(3)},
      {"nextn_predict_layers", GgufValue::u32(3)},
  };
  for (const auto& [key, value] : cases) {
    SCOPED_TRACE(key);
    change(std::string("bailingmoe2.") + key, value);
    expect_refused(run(), changed(), "");
  }
  change("general.architecture", GgufValue::string("marsupial"));
  expect_refused(run(), changed(), "unknown architecture");
  change("general.architecture", u8s({1}));
  expect_refused(run(), changed(), "general.architecture");
}

TEST_F(StrangeModel, TokenizersThatCannotBe) {
  const std::string ggml = "tokenizer.ggml.", own = "tokenizer.switchyard.";
  const std::pair<std::string, GgufValue> cases[] = {
      {ggml + "model", u8s({1, 2})},
      {ggml + "tokens", u8s({1, 2, 3})},
      {ggml + "tokens", GgufValue::strings({})},
      {ggml + "merges", u8s({1, 2, 3})},
      {ggml + "merges", GgufValue::strings({"no-such a"})},
      {ggml + "merges", GgufValue::strings({"ab"})},
      {ggml + "token_type", GgufValue::strings({"normal"})},
      {ggml + "token_type", u8s({1})},
      {ggml + "bos_token_id", GgufValue::i32(-1)},
      {ggml + "eos_token_id", GgufValue::u32(0xffffffff)},
      {ggml + "padding_token_id", GgufValue::u32(512)},
      {ggml + "eot_token_id", GgufValue::f32(1.0f)},
      {own + "prefix", GgufValue::i32s({1, -7})},
      {own + "pre_regex", GgufValue::strings({"("})},
      {own + "pre_regex", GgufValue::strings({repeated("(", 100'000)})},
      {own + "pre_regex", GgufValue::strings({"(?R)a"})},
  };
  for (const auto& [key, value] : cases) {
    SCOPED_TRACE(key);
    change(key, value);
    expect_refused(run(), changed(), "");
  }
  change(ggml + "model", GgufValue::string("llama"));  // scores are floats: not those of another type
  fs::rename(changed(), base());
  change(ggml + "scores", u8s(std::vector<uint64_t>(512, 1)));
  expect_refused(run(), changed(), "array of f32 or f64");
}

TEST_F(StrangeModel, PatternsThatNeverEndAndPiecesWithoutEndDoNoHarm) {
  change("tokenizer.switchyard.pre_regex", GgufValue::strings({"(a*)*b"}));
  const ProcessResult slow = run({}, std::string(400, 'a'));
  EXPECT_EQ(slow.exit_code, 0) << slow.err;
  std::vector<std::string> tokens(512, "x");
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] += std::to_string(i);
  tokens[7] = std::string(size_t{8} << 20, 'y');
  change("tokenizer.ggml.tokens", GgufValue::strings(tokens));
  expect_refused(run(), changed(), "merge");
}

TEST_F(StrangeModel, TemplatesThatTurnOnThemselves) {
  const std::pair<const char*, std::string> cases[] = {
      {"parentheses", "{{ " + repeated("(", 100'000) + "1" + repeated(")", 100'000) + " }}"},
      {"macro", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
      {"ifs", repeated("{% if true %}", 100'000)},
      {"loop", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"},
      {"output", "{% for a in range(100000) %}{{ 'x' * 100000 }}{% endfor %}"},
      {"repetition", "{{ 'x' * 9999999999 }}"},
      {"attribute", "{{ ''.__class__.__mro__ }}"},
      {"raise", "{{ raise_exception('a\nb') }}"},
  };
  for (const auto& [name, source] : cases) {
    SCOPED_TRACE(name);
    change("tokenizer.chat_template", GgufValue::string(source));
    expect_refused(run({"--chat"}), "", "");
  }
}

TEST(StrangeCheckpoint, ConfigurationsThatCannotBe) {
  const std::pair<const char*, Json> cases[] = {
      {"architectures", nullptr},
      {"architectures", Json::array({"../../evil"})},
      {"architectures", Json::array({7})},
      {"num_hidden_layers", -1},
      {"num_hidden_layers", 2147483647},
      {"num_hidden_layers", 1e300},
      {"num_hidden_layers", "3"},
      {"hidden_size", 0},
      {"hidden_size", 4611686018427387904},
      {"num_attention_heads", 0},
      {"num_key_value_heads", 3},
      {"head_dim", 65},
      {"num_experts", 1 << 30},
      {"vocab_size", 16},
      {"partial_rotary_factor", 1e30},
      {"rms_norm_eps", Json::array()},
      {"score_function", "marsupial"},
      {"rope_scaling", Json::object({{"type", "yarn"}})},
  };
  const TempDir temp;
  const std::string out = temp.path() / "out.gguf";
  for (const auto& [key, value] : cases) {
    SCOPED_TRACE(key);
    const TempDir folder;
    fs::copy(golden(), folder.path());
    Json config = Json::parse(std::ifstream(golden() / "config.json"));
    config[key] = value;
    write(folder.path() / "config.json", config.dump());
    expect_refused(run_switchyard({"convert", folder.path().string(), "-o", out}), "", "");
    EXPECT_FALSE(fs::exists(out));
  }
}

TEST(StrangeCheckpoint, OnlySafetensorsAreRead) {
  const TempDir folder;
  fs::copy(golden(), folder.path());
  fs::rename(folder.path() / "model.safetensors", folder.path() / "pytorch_model.bin");
  const std::string out = folder.path() / "out.gguf";
  expect_refused(run_switchyard({"convert", folder.path().string(), "-o", out}), folder.path(),
                 "no safetensors model");
}

TEST(StrangeCheckpoint, AShardMayBeMissingOrElsewhere) {
  const TempDir folder;
  fs::copy(golden(), folder.path());
  fs::rename(folder.path() / "model.safetensors", folder.path() / "model-00001-of-00002.safetensors");
  const auto refused = [&](const char* file, const char* says) {
    write(folder.path() / "model.safetensors.index.json",
          Json{{"weight_map", {{"model.norm.weight", file}}}}.dump());
    const std::string out = folder.path() / "out.gguf";
    expect_refused(run_switchyard({"convert", folder.path().string(), "-o", out}), folder.path(), says);
  };
  refused("model-00002-of-00002.safetensors", "a shard of the model is missing");
  refused("../model-00001-of-00002.safetensors", "plain .safetensors name");
}

}  // namespace
}  // namespace sw::testing
