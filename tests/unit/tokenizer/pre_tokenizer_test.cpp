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
    testing::expect_column(fixture, std::string(entry.name),
                           [&](const std::string& text) { return hash_lengths(split(pre_tokenizer, text)); });
  }
}

TEST(Normalizer, EqualsTheLibrarysOnTenThousandMixedStrings) {
  const testing::MixedStrings fixture = testing::read_mixed_strings();
  size_t changed = 0;
  testing::expect_column(fixture, "nfc", [&](const std::string& text) {
    const std::string composed = nfc(text);
    EXPECT_TRUE(may_need_nfc(text) || composed == text) << text;
    changed += composed != text;
    return testing::fixture_hash(composed);
  });
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
    // Two names may differ in what they do to text before: then the first is written, with that.
    EXPECT_EQ(match->patterns, entry.patterns) << entry.name;
    EXPECT_EQ(match->ignore_merges, entry.ignore_merges) << entry.name;
    const NamedPreTokenizer* other = match_pre_tokenizer(patterns, !entry.ignore_merges);
    EXPECT_TRUE(!other || other->ignore_merges != entry.ignore_merges) << entry.name;
  }
  EXPECT_FALSE(find_pre_tokenizer("qwen"));
  EXPECT_FALSE(match_pre_tokenizer({"a"}, false));
}

/// Of families that a file of llama's or deepseek2's architecture may be: each has a pattern of its own,
/// which the strings above are cut with.
TEST(PreTokenizer, NamesFromTheFieldAreKnown) {
  for (const char* name : {"kimi-k2", "tekken", "command-r", "superbpe"}) {
    const NamedPreTokenizer* found = find_pre_tokenizer(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->name, name);
  }
}

TEST(PreTokenizer, AliasesMeanTheSame) {
  for (const auto& [alias, name] :
       {std::pair("smollm", "starcoder"), std::pair("refact", "starcoder"), std::pair("chatglm-bpe", "glm4"),
        std::pair("bailingmoe", "bailingmoe2"), std::pair("llama-v3", "llama-bpe"),
        std::pair("llama4", "gpt-4o"), std::pair("lfm2", "llama-bpe"), std::pair("minimax-m2", "gpt-4o"),
        std::pair("joyai-llm", "deepseek-v3"), std::pair("smaug-bpe", "glm4"),
        std::pair("poro-chat", "bloom"), std::pair("gpt3-finnish", "bloom"),
        std::pair("cohere2moe", "tiny_aya"), std::pair("dbrx", "glm4"), std::pair("exaone", "starcoder")}) {
    ASSERT_TRUE(find_pre_tokenizer(name)) << name;
    EXPECT_EQ(find_pre_tokenizer(alias), find_pre_tokenizer(name)) << alias;
  }
}

// Each row as `tokenizers` 0.23.3 splits it with Trinity's patterns.
TEST(PreTokenizer, TrinityCountsDigitsFromTheRight) {
  const PreTokenizer trinity = named("afmoe");
  EXPECT_EQ(split(trinity, "1234567"), (Pieces{"1", "234", "567"}));
  EXPECT_EQ(split(trinity, "a12 123456b"), (Pieces{"a", "12", " ", "123", "456", "b"}));
  EXPECT_EQ(split(trinity, "ไทย中文"), (Pieces{"ไทย", "中文"}));
  // A run of more than 510 digits is first cut into such runs, also from the right.
  const Pieces pieces = split(trinity, std::string(1024, '7'));
  ASSERT_EQ(pieces.size(), 342u);
  for (size_t i = 0; i < pieces.size(); ++i) EXPECT_EQ(pieces[i].size(), i == 0 ? 1u : 3u) << i;
}

// Each row as `tokenizers` 0.23.3 splits it.
TEST(PreTokenizer, EveryWayToSplitIsTheLibrarys) {
  using B = SplitRule::Behavior;
  struct Case {
    B behavior;
    bool invert;
    const char *pattern, *text;
    Pieces pieces;
  };
  const std::vector<Case> cases = {
      {B::Isolated, false, "b", "abbac", {"a", "b", "b", "ac"}},
      {B::Isolated, false, "b", "bab", {"b", "a", "b"}},
      {B::Isolated, true, "b", "abbac", {"a", "b", "b", "ac"}},
      {B::Isolated, true, "b", "bab", {"b", "a", "b"}},
      {B::Removed, false, "b", "abbac", {"a", "ac"}},
      {B::Removed, false, "b", "bab", {"a"}},
      {B::Removed, false, "b+", "abbacb", {"a", "ac"}},
      {B::Removed, false, "\\s", "a  b c ", {"a", "b", "c"}},
      {B::Removed, false, "-", "the-final--countdown", {"the", "final", "countdown"}},
      {B::Removed, false, "x", "abc", {"abc"}},
      {B::Removed, true, "b", "abbac", {"b", "b"}},
      {B::Removed, true, "b", "bab", {"b", "b"}},
      {B::Removed, true, "b+", "abbacb", {"bb", "b"}},
      {B::Removed, true, "\\s", "a  b c ", {" ", " ", " ", " "}},
      {B::Removed, true, "-", "the-final--countdown", {"-", "-", "-"}},
      {B::Removed, true, "x", "abc", {}},
      {B::MergedWithPrevious, false, "b", "abbac", {"ab", "b", "ac"}},
      {B::MergedWithPrevious, false, "b", "bab", {"b", "ab"}},
      {B::MergedWithPrevious, false, "b+", "abbacb", {"abb", "acb"}},
      {B::MergedWithPrevious, false, "\\s", "a  b c ", {"a ", " ", "b ", "c "}},
      {B::MergedWithPrevious, false, "-", "the-final--countdown", {"the-", "final-", "-", "countdown"}},
      {B::MergedWithPrevious, false, "x", "abc", {"abc"}},
      {B::MergedWithPrevious, true, "b", "abbac", {"a", "b", "bac"}},
      {B::MergedWithPrevious, true, "b", "bab", {"ba", "b"}},
      {B::MergedWithPrevious, true, "b+", "abbacb", {"a", "bbac", "b"}},
      {B::MergedWithPrevious, true, "\\s", "a  b c ", {"a", " ", " b", " c", " "}},
      {B::MergedWithPrevious, true, "-", "the-final--countdown", {"the", "-final", "-", "-countdown"}},
      {B::MergedWithPrevious, true, "x", "abc", {"abc"}},
      {B::MergedWithNext, false, "b", "abbac", {"a", "b", "bac"}},
      {B::MergedWithNext, false, "b", "bab", {"ba", "b"}},
      {B::MergedWithNext, false, "b+", "abbacb", {"a", "bbac", "b"}},
      {B::MergedWithNext, false, "\\s", "a  b c ", {"a", " ", " b", " c", " "}},
      {B::MergedWithNext, false, "-", "the-final--countdown", {"the", "-final", "-", "-countdown"}},
      {B::MergedWithNext, false, "x", "abc", {"abc"}},
      {B::MergedWithNext, true, "b", "abbac", {"ab", "b", "ac"}},
      {B::MergedWithNext, true, "b", "bab", {"b", "ab"}},
      {B::MergedWithNext, true, "b+", "abbacb", {"abb", "acb"}},
      {B::MergedWithNext, true, "\\s", "a  b c ", {"a ", " ", "b ", "c "}},
      {B::MergedWithNext, true, "-", "the-final--countdown", {"the-", "final-", "-", "countdown"}},
      {B::MergedWithNext, true, "x", "abc", {"abc"}},
      {B::Contiguous, false, "b", "abbac", {"a", "bb", "ac"}},
      {B::Contiguous, false, "b", "bab", {"b", "a", "b"}},
      {B::Contiguous, false, "b+", "abbacb", {"a", "bb", "ac", "b"}},
      {B::Contiguous, false, "\\s", "a  b c ", {"a", "  ", "b", " ", "c", " "}},
      {B::Contiguous, false, "-", "the-final--countdown", {"the", "-", "final", "--", "countdown"}},
      {B::Contiguous, false, "x", "abc", {"abc"}},
      {B::Contiguous, true, "b", "abbac", {"a", "bb", "ac"}},
      {B::Contiguous, true, "b", "bab", {"b", "a", "b"}},
      {B::Contiguous, true, "b+", "abbacb", {"a", "bb", "ac", "b"}},
      {B::Contiguous, true, "\\s", "a  b c ", {"a", "  ", "b", " ", "c", " "}},
      {B::Contiguous, true, "-", "the-final--countdown", {"the", "-", "final", "--", "countdown"}},
      {B::Contiguous, true, "x", "abc", {"abc"}},
  };
  for (const auto& [behavior, invert, pattern, text, pieces] : cases) {
    EXPECT_EQ(split(PreTokenizer({pattern}, {{behavior, invert}}), text), pieces)
        << pattern << " in '" << text << "', rule " << static_cast<int>(behavior) << ", invert " << invert;
  }
  EXPECT_EQ(split(PreTokenizer({"x", "b"}, {{}, {B::Removed}}), "abxb"), (Pieces{"a", "x"}));
}

// A stage that cuts bytes hands the next one pieces that are no whole characters.
TEST(PreTokenizer, StagesOfBytes) {
  EXPECT_EQ(split(PreTokenizer({"(?-u)[\\x{BC}]", "(?-u)[0-9]"}), "1м2"), (Pieces{"1", "\xD0", "\xBC", "2"}));
}

}  // namespace
}  // namespace sw
