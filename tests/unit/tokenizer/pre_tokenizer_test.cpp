// SPDX-License-Identifier: MIT
#include "tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tokenizer/normalizer.h"
#include "unit/tokenizer/mixed_strings.h"

namespace sw {
namespace {

using Pieces = std::vector<std::string_view>;

PreTokenizer named(std::string_view name) {
  const NamedPreTokenizer* found = find_pre_tokenizer(name);
  SW_ASSERT(found);
  return PreTokenizer({found->patterns.begin(), found->patterns.end()});
}

Pieces split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  Pieces pieces;
  pre_tokenizer.split(text, pieces);
  return pieces;
}

uint32_t hash_lengths(const Pieces& pieces) {
  std::vector<uint32_t> lengths;
  for (const std::string_view piece : pieces) lengths.push_back(static_cast<uint32_t>(piece.size()));
  return testing::fixture_hash(std::span<const uint32_t>(lengths));
}

TEST(PreTokenizer, CutsTenThousandMixedStringsAsTheLibraryDoes) {
  const testing::MixedStrings fixture = testing::read_mixed_strings();
  ASSERT_EQ(fixture.strings.size(), 10'000u);
  for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
    const PreTokenizer pre_tokenizer = named(entry.name);
    ASSERT_TRUE(fixture.columns.contains(std::string(entry.name))) << entry.name << ": make the fixture anew";
    const auto& expected = fixture.columns.at(std::string(entry.name));
    size_t wrong = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const Pieces pieces = split(pre_tokenizer, fixture.strings[i]);
      if (hash_lengths(pieces) == expected[i] || ++wrong > 5) continue;
      std::string shown;
      for (const std::string_view piece : pieces) shown += "[" + std::string(piece) + "]";
      ADD_FAILURE() << entry.name << ", string " << i << ": " << shown;
    }
    EXPECT_EQ(wrong, 0u) << entry.name;
  }
}

TEST(Normalizer, EqualsTheLibrarysOnTenThousandMixedStrings) {
  const testing::MixedStrings fixture = testing::read_mixed_strings();
  size_t changed = 0;
  for (size_t i = 0; i < fixture.strings.size(); ++i) {
    const std::string& text = fixture.strings[i];
    const std::string composed = nfc(text);
    EXPECT_EQ(testing::fixture_hash(composed), fixture.columns.at("nfc")[i]) << text;
    EXPECT_TRUE(may_need_nfc(text) || composed == text) << text;
    changed += composed != text;
  }
  EXPECT_GT(changed, 500u);
}

TEST(PreTokenizer, PiecesAreTheWholeText) {
  const testing::MixedStrings fixture = testing::read_mixed_strings();
  const PreTokenizer pre_tokenizer = named("deepseek-v3");
  for (const std::string& text : fixture.strings) {
    std::string joined;
    for (const std::string_view piece : split(pre_tokenizer, text)) {
      EXPECT_FALSE(piece.empty());
      joined += piece;
    }
    EXPECT_EQ(joined, text);
  }
}

TEST(PreTokenizer, RunsOfInvalidBytesAreTheirOwnPieces) {
  const PreTokenizer pre_tokenizer = named("qwen2");
  EXPECT_EQ(split(pre_tokenizer, "ab\xFF\xFE\xC3 cd\xE2\x82"),
            (Pieces{"ab", "\xFF\xFE\xC3", " cd", "\xE2\x82"}));
  EXPECT_EQ(split(pre_tokenizer, "\xED\xA0\x80\x80"), (Pieces{"\xED\xA0\x80\x80"}));
  EXPECT_EQ(split(pre_tokenizer, ""), Pieces{});
}

TEST(PreTokenizer, WhatLiesBetweenMatchesIsKept) {
  EXPECT_EQ(split(PreTokenizer({"b+"}), "abbac"), (Pieces{"a", "bb", "ac"}));
  EXPECT_EQ(split(PreTokenizer({"b+", "c"}), "abbacca"), (Pieces{"a", "bb", "a", "c", "c", "a"}));
  EXPECT_EQ(split(PreTokenizer({}), "as it is"), (Pieces{"as it is"}));
}

TEST(PreTokenizer, RefusesTooManyPatterns) {
  EXPECT_THROW(PreTokenizer(std::vector<std::string>(100, "a")), Error);
}

TEST(PreTokenizer, NamesAreFoundByPatternAndMeaning) {
  for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
    const std::vector<std::string> patterns(entry.patterns.begin(), entry.patterns.end());
    const NamedPreTokenizer* match = match_pre_tokenizer(patterns, entry.ignore_merges);
    ASSERT_TRUE(match) << entry.name;
    EXPECT_EQ(match->name, entry.name);
    const NamedPreTokenizer* other = match_pre_tokenizer(patterns, !entry.ignore_merges);
    EXPECT_TRUE(!other || other->ignore_merges != entry.ignore_merges) << entry.name;
  }
  EXPECT_FALSE(find_pre_tokenizer("qwen"));
  EXPECT_FALSE(match_pre_tokenizer({"a"}, false));
}

TEST(PreTokenizer, AliasesMeanTheSame) {
  for (const auto& [alias, name] : {std::pair("smollm", "starcoder"), std::pair("refact", "starcoder"),
                                    std::pair("chatglm-bpe", "glm4"), std::pair("bailingmoe", "bailingmoe2"),
                                    std::pair("llama-v3", "llama-bpe"), std::pair("llama4", "gpt-4o")}) {
    ASSERT_TRUE(find_pre_tokenizer(name)) << name;
    EXPECT_EQ(find_pre_tokenizer(alias), find_pre_tokenizer(name)) << alias;
  }
}

// A stage that cuts bytes hands the next one pieces that are no whole characters.
TEST(PreTokenizer, StagesOfBytes) {
  EXPECT_EQ(split(PreTokenizer({"(?-u)[\\x{BC}]", "(?-u)[0-9]"}), "1м2"), (Pieces{"1", "\xD0", "\xBC", "2"}));
}

}  // namespace
}  // namespace sw
