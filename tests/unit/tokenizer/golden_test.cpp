// SPDX-License-Identifier: MIT
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "support/test_data.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/through_gguf.h"

namespace sw {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

void expect_golden(const Tokenizer& tokenizer, const json& cases) {
  ASSERT_GT(cases.size(), 10u);
  for (const json& c : cases) {
    const auto text = c["text"].get<std::string>();
    SCOPED_TRACE(text);
    const auto ids = c["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.encode(text), ids);
    EXPECT_EQ(tokenizer.encode(text, {.add_special = true}), c["ids_special"].get<Ids>());
    EXPECT_EQ(tokenizer.decode(ids), c["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, true), c["decoded_skip_special"].get<std::string>());
  }
}

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, IdsAndTextsEqualTheLibrarys) {
  SW_DATA_OR_SKIP(folder, std::string("golden/") + GetParam());
  const json cases = json::parse(read_file(folder / "tokenizer.golden.json"));
  const TokenizerSpec spec = read_hf_tokenizer(folder);
  {
    SCOPED_TRACE("tokenizer.json");
    expect_golden(Tokenizer(spec), cases);
    expect_golden(Tokenizer::from_json(folder / "tokenizer.json"), cases);
  }
  SCOPED_TRACE("GGUF");
  const TokenizerSpec read = testing::through_gguf(spec, 12);
  const Tokenizer again(read);
  expect_golden(again, cases);
  EXPECT_EQ(again.n_vocab(), static_cast<int>(spec.tokens.size()) + 12);
  EXPECT_EQ(again.bos_id(), spec.bos);
  EXPECT_EQ(again.eos_id(), spec.eos);
  EXPECT_EQ(read.pad, spec.pad);
  EXPECT_EQ(again.chat_template(), spec.chat_template);
  EXPECT_EQ(again.end_of_generation(), Tokenizer(spec).end_of_generation());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer, ::testing::Values("bailing_moe_v2", "qwen3_moe"));

TEST(GoldenTokenizer, ChatTextsEqualTheLibrarys) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const Tokenizer tokenizer = Tokenizer::from_hf(folder);
  for (const json& chat : json::parse(read_file(folder / "chat.golden.json"))) {
    EXPECT_EQ(tokenizer.encode(chat["text"].get<std::string>()), chat["ids"].get<Ids>()) << chat["text"];
  }
}

TEST(GoldenTokenizer, KnowsItsSpecialTokens) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const Tokenizer a = Tokenizer::from_hf(folder);
  EXPECT_EQ(a.bos_id(), 492);
  EXPECT_EQ(a.eos_id(), 494);
  EXPECT_EQ(read_hf_tokenizer(folder).pad, 493);
  EXPECT_FALSE(a.add_bos());
  EXPECT_EQ(a.end_of_generation(), (Ids{493, 494}));
  EXPECT_EQ(a.piece(494), "<|role_end|>");
  EXPECT_TRUE(a.is_special(494));
  EXPECT_EQ(a.piece(498), "<think>");
  EXPECT_FALSE(a.is_special(498));
  EXPECT_NE(a.chat_template().find("<role>ASSISTANT</role>"), std::string::npos);
  for (const int32_t unknown : {-1, 500, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(a.piece(unknown), "");
    EXPECT_FALSE(a.is_special(unknown));
  }

  SW_DATA_OR_SKIP(folder_b, "golden/qwen3_moe");
  const Tokenizer b = Tokenizer::from_hf(folder_b);
  EXPECT_TRUE(b.add_bos());
  EXPECT_EQ(b.encode("", {.add_special = true}), Ids{500});
}

TEST(GoldenTokenizer, TextThatIsNotParsedNeverGivesSpecialTokens) {
  for (const char* model : {"golden/bailing_moe_v2", "golden/qwen3_moe"}) {
    SW_DATA_OR_SKIP(folder, model);
    const Tokenizer tokenizer = Tokenizer::from_hf(folder);
    const std::string text = "a<|role_end|><|im_end|><think><|endoftext|>b";
    const Ids plain = tokenizer.encode(text, {.parse_special = false});
    EXPECT_TRUE(
        std::none_of(plain.begin(), plain.end(), [&](int32_t id) { return tokenizer.is_special(id); }));
    EXPECT_EQ(tokenizer.decode(plain), text);
    EXPECT_LT(tokenizer.encode(text).size(), plain.size());
  }
}

TEST(GoldenTokenizer, HeldOutStoriesHaveTheKnownNumberOfTokens) {
  SW_DATA_OR_SKIP(folder, "models/fable-ling");
  SW_DATA_OR_SKIP(stories, "text/stories-heldout.txt");
  SW_DATA_OR_SKIP(mainlines, "interop/fable-ling-Q4_K_M.gguf");
  const std::string text = read_file(stories);
  const Ids ids = Tokenizer::from_hf(folder).encode(text);
  EXPECT_EQ(ids.size(), 198'664u);
  EXPECT_EQ(Tokenizer::from_gguf(GgufFile(mainlines)).encode(text), ids);
}

}  // namespace
}  // namespace sw
