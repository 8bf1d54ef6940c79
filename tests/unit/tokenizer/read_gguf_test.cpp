// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <map>

#include "base/error.h"
#include "support/refusal.h"
#include "support/test_data.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

using Keys = std::map<std::string, GgufValue>;

Keys good_keys() {
  return {
      {"tokenizer.ggml.model", GgufValue::string("gpt2")},
      {"tokenizer.ggml.pre", GgufValue::string("qwen2")},
      {"tokenizer.ggml.tokens", GgufValue::strings({"a", "b", "ab", "<|im_end|>", "[PAD4]"})},
      {"tokenizer.ggml.token_type", GgufValue::i32s({1, 1, 1, 3, 5})},
      {"tokenizer.ggml.merges", GgufValue::strings({"a b"})},
  };
}

Tokenizer tokenizer_of(const Keys& keys) {
  const testing::TempDir folder;
  GgufWriter writer(folder.path() / "x.gguf");
  for (const auto& [key, value] : keys) writer.set(key, value);
  writer.finish();
  return Tokenizer::from_gguf(GgufFile(folder.path() / "x.gguf"));
}

TEST(ReadGguf, ASmallVocabulary) {
  const Tokenizer tokenizer = tokenizer_of(good_keys());
  EXPECT_EQ(tokenizer.encode("ab<|im_end|>b"), (std::vector<int32_t>{2, 3, 1}));
  EXPECT_EQ(tokenizer.end_of_generation(), std::vector<int32_t>{3}) << "known by its text";
  EXPECT_EQ(tokenizer.piece(4), "") << "unused";
  EXPECT_EQ(tokenizer.eos_id(), std::nullopt);
}

TEST(ReadGguf, ANameImpliesWhatTheFileLeavesOpen) {
  Keys keys = good_keys();
  keys["tokenizer.ggml.pre"] = GgufValue::string("llama-bpe");
  keys["tokenizer.ggml.bos_token_id"] = GgufValue::u32(3);
  EXPECT_TRUE(tokenizer_of(keys).add_bos());
  keys["tokenizer.ggml.add_bos_token"] = GgufValue::boolean(false);
  EXPECT_FALSE(tokenizer_of(keys).add_bos());
}

TEST(ReadGguf, AnEndTokenTypedAsTextIsFoundInText) {
  Keys keys = good_keys();
  keys["tokenizer.ggml.eos_token_id"] = GgufValue::u32(3);
  keys["tokenizer.ggml.bos_token_id"] = GgufValue::u32(1);  // "b", a placeholder
  for (const bool typed : {true, false}) {
    keys["tokenizer.ggml.token_type"] = GgufValue::i32s({1, 1, 1, 1, 5});
    if (!typed) keys.erase("tokenizer.ggml.token_type");
    const Tokenizer tokenizer = tokenizer_of(keys);
    EXPECT_EQ(tokenizer.encode("ab<|im_end|>b"), (std::vector<int32_t>{2, 3, 1}));
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{1, 3, 0}, true), "ba");
  }
}

TEST(ReadGguf, TokensThatNoMergeMakesAreRefused) {
  Keys keys = good_keys();
  keys.erase("tokenizer.ggml.merges");
  EXPECT_THROW(tokenizer_of(keys), Error);
  keys["tokenizer.ggml.tokens"] = GgufValue::strings({"a", "b", "c", "<|im_end|>", "[PAD4]"});
  EXPECT_EQ(tokenizer_of(keys).encode("cab"), (std::vector<int32_t>{2, 0, 1})) << "bytes need none";
}

TEST(ReadGguf, OurPatternsServeWhereTheNameIsUnknown) {
  Keys keys = good_keys();
  keys["tokenizer.ggml.pre"] = GgufValue::string("never-heard-of");
  testing::expect_refused([&] { tokenizer_of(keys); }, "the pre-tokenizer 'never-heard-of' is not known");
  testing::expect_refused([&] { tokenizer_of(keys); }, "chameleon default, or another name");
  keys["tokenizer.switchyard.pre_regex"] = GgufValue::strings({"a"});
  EXPECT_EQ(tokenizer_of(keys).encode("ab"), (std::vector<int32_t>{0, 1}));
}

TEST(ReadGguf, WrongKeysAreRefusedByName) {
  const std::vector<std::pair<std::string, GgufValue>> wrong = {
      {"tokenizer.ggml.model", GgufValue::string("bert")},
      {"tokenizer.ggml.model", GgufValue::u32(1)},
      {"tokenizer.ggml.tokens", GgufValue::strings({})},
      {"tokenizer.ggml.tokens", GgufValue::i32s({1})},
      {"tokenizer.ggml.token_type", GgufValue::i32s({1, 1})},
      {"tokenizer.ggml.token_type", GgufValue::i32s({1, 1, 1, 3, 7})},
      {"tokenizer.ggml.token_type", GgufValue::i32s({1, 1, 1, 3, -1})},
      {"tokenizer.ggml.eos_token_id", GgufValue::u32(5)},
      {"tokenizer.ggml.eos_token_id", GgufValue::i32(-1)},
      {"tokenizer.ggml.eos_token_id", GgufValue::string("3")},
      {"tokenizer.switchyard.normalizer", GgufValue::string("nfkc")},
      {"tokenizer.switchyard.visible_tokens", GgufValue::i32s({9})},
      {"tokenizer.switchyard.prefix", GgufValue::i32s({-1})},
  };
  for (const auto& [key, value] : wrong) {
    Keys keys = good_keys();
    keys[key] = value;
    try {
      tokenizer_of(keys);
      ADD_FAILURE() << key << " was accepted";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
  }
  Keys keys = good_keys();
  keys["tokenizer.switchyard.pre_regex"] = GgufValue::strings({"(a"});
  EXPECT_THROW(tokenizer_of(keys), Error);
  keys = good_keys();
  keys["tokenizer.ggml.merges"] = GgufValue::strings({"a zz"});
  EXPECT_THROW(tokenizer_of(keys), Error);
}

}  // namespace
}  // namespace sw
