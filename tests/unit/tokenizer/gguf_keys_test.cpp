// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "support/test_data.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"

namespace sw {
namespace {

using Keys = std::vector<std::pair<std::string, GgufValue>>;

bool equal(const GgufValue& a, const GgufValue& b) {
  if (a.type != b.type || a.data.index() != b.data.index()) return false;
  return std::visit(
      [&]<class T>(const T& x) {
        const T& y = std::get<T>(b.data);
        if constexpr (std::is_same_v<T, GgufArray>)
          return x.element == y.element && x.items == y.items;
        else
          return x == y;
      },
      a.data);
}

const GgufValue* find(const Keys& keys, const std::string& key) {
  for (const auto& [name, value] : keys) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string text_of(const GgufValue* value) { return value ? std::get<std::string>(value->data) : "(none)"; }

/// A spec of few tokens that nothing need be said of beyond mainline's keys.
TokenizerSpec small_spec() {
  TokenizerSpec spec;
  spec.source = "small";
  spec.tokens = {{"a", TokenType::Normal},
                 {"b", TokenType::Normal},
                 {"ab", TokenType::Normal},
                 {"<s>", TokenType::Control, true}};
  spec.merges = {"a b"};
  const auto& patterns = find_pre_tokenizer("bailingmoe2")->patterns;
  spec.patterns.assign(patterns.begin(), patterns.end());
  return spec;
}

struct Pair {
  const char *folder, *gguf, *pre;
  friend void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.gguf; }
};

class MainlineKeys : public ::testing::TestWithParam<Pair> {};

TEST_P(MainlineKeys, AreWrittenTheSameInTheSameOrder) {
  SW_DATA_OR_SKIP(folder, GetParam().folder);
  SW_DATA_OR_SKIP(path, GetParam().gguf);
  const auto config = nlohmann::json::parse(read_file(folder / "config.json"));
  const Keys ours = gguf_keys(read_hf_tokenizer(folder), config["vocab_size"].get<size_t>());
  const GgufFile file(path);
  size_t at = 0;
  for (const auto& [key, value] : file.metadata().entries()) {
    if (!key.starts_with("tokenizer.")) continue;
    ASSERT_LT(at, ours.size()) << key;
    EXPECT_EQ(ours[at].first, key);
    // The name was set by hand in these files.
    EXPECT_TRUE(key == "tokenizer.ggml.pre" || equal(ours[at].second, value)) << key;
    ++at;
  }
  for (; at < ours.size(); ++at)
    EXPECT_TRUE(ours[at].first.starts_with("tokenizer.switchyard.")) << ours[at].first;
  EXPECT_EQ(text_of(find(ours, "tokenizer.ggml.pre")), GetParam().pre);
}

INSTANTIATE_TEST_SUITE_P(
    All, MainlineKeys,
    ::testing::Values(Pair{"golden/bailing_moe_v2", "interop/bailing_moe_v2.gguf", "qwen2"},
                      Pair{"golden/bailing_moe_v2_mtp", "interop/bailing_moe_v2_mtp.gguf", "llama-bpe"},
                      Pair{"golden/qwen3_moe", "interop/qwen3_moe.gguf", "llama-bpe"},
                      Pair{"golden/gpt_oss", "interop/gpt_oss.gguf", "qwen2"},
                      Pair{"golden/llama", "interop/llama.gguf", "llama-bpe"},
                      Pair{"models/fable-ling", "interop/fable-ling-Q4_K_M.gguf", "bailingmoe2"}));

TEST(GgufKeys, SayNothingOfOursWhereMainlinesKeysSuffice) {
  for (const auto& [key, value] : gguf_keys(small_spec(), 4)) {
    EXPECT_FALSE(key.starts_with("tokenizer.switchyard.")) << key;
  }
}

TEST(GgufKeys, SayWhatTheNameDoesNot) {
  TokenizerSpec spec = small_spec();
  spec.ignore_merges = true;  // the name implies false
  Keys keys = gguf_keys(spec, 4);
  EXPECT_EQ(text_of(find(keys, "tokenizer.ggml.pre")), "default");
  ASSERT_TRUE(find(keys, "tokenizer.switchyard.pre_regex"));
  EXPECT_TRUE(equal(*find(keys, "tokenizer.switchyard.pre_regex"), GgufValue::strings(spec.patterns)));
  EXPECT_TRUE(equal(*find(keys, "tokenizer.switchyard.ignore_merges"), GgufValue::boolean(true)));

  spec = small_spec();
  spec.nfc = true;
  EXPECT_EQ(text_of(find(gguf_keys(spec, 4), "tokenizer.switchyard.normalizer")), "nfc");
  const auto& qwen2 = find_pre_tokenizer("qwen2")->patterns;
  spec.patterns.assign(qwen2.begin(), qwen2.end());
  spec.nfc = false;
  EXPECT_EQ(text_of(find(gguf_keys(spec, 4), "tokenizer.switchyard.normalizer")), "none");
}

TEST(GgufKeys, EverySpecComesBackAsItWas) {
  TokenizerSpec spec = small_spec();
  spec.patterns = {"a+", "\\p{N}"};
  spec.ignore_merges = true;
  spec.nfc = true;
  spec.tokens.push_back({"<|x|>", TokenType::Control, false});
  spec.tokens.push_back({});
  spec.tokens.push_back({"<y>", TokenType::UserDefined, false});
  spec.bos = 3;
  spec.eom = 4;
  spec.add_bos = true;
  spec.prefix = {3, 4};
  spec.suffix = {6};
  spec.chat_template = "{{ x }}";
  const testing::TempDir folder;
  GgufWriter writer(folder.path() / "x.gguf");
  for (auto& [key, value] : gguf_keys(spec, 9)) writer.set(key, std::move(value));
  writer.finish();
  const TokenizerSpec again = read_gguf_tokenizer(GgufFile(folder.path() / "x.gguf"));
  ASSERT_EQ(again.tokens.size(), 9u);
  for (size_t id = 0; id < 9; ++id) {
    const TokenizerSpec::Token expected = id < spec.tokens.size() ? spec.tokens[id] : TokenizerSpec::Token{};
    EXPECT_EQ(again.tokens[id].type, expected.type) << id;
    EXPECT_EQ(again.tokens[id].special, expected.special) << id;
    EXPECT_TRUE(expected.type == TokenType::Unused || again.tokens[id].text == expected.text) << id;
  }
  EXPECT_EQ(again.tokens[5].text, "[PAD5]");
  EXPECT_EQ(again.merges, spec.merges);
  EXPECT_EQ(again.patterns, spec.patterns);
  EXPECT_TRUE(again.ignore_merges);
  EXPECT_TRUE(again.nfc);
  EXPECT_EQ(again.bos, spec.bos);
  EXPECT_EQ(again.eos, spec.eos);
  EXPECT_EQ(again.eom, spec.eom);
  EXPECT_EQ(again.add_bos, spec.add_bos);
  EXPECT_EQ(again.prefix, spec.prefix);
  EXPECT_EQ(again.suffix, spec.suffix);
  EXPECT_EQ(again.chat_template, spec.chat_template);
}

TEST(GgufKeys, RefuseMoreTokensThanTheModelHas) { EXPECT_THROW(gguf_keys(small_spec(), 3), Error); }

}  // namespace
}  // namespace sw
