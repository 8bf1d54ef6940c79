// SPDX-License-Identifier: MIT
// The small parts: the byte alphabet, NFC, special tokens, merging.
#include <algorithm>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/special_tokens.h"

namespace sw {
namespace {

using Ids = std::vector<int32_t>;

TEST(ByteLevel, IsABijection) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(from_byte_level(to_byte_level(all)), all);
  EXPECT_EQ(to_byte_level(" \n!\xFF"), "ĠĊ!ÿ");
  EXPECT_EQ(from_byte_level("a b"), std::nullopt);
  EXPECT_EQ(from_byte_level("中"), std::nullopt);
  EXPECT_EQ(from_byte_level("\u0144"), std::nullopt) << "one past the alphabet's end";
  EXPECT_EQ(from_byte_level("\xFF"), std::nullopt);
}

TEST(Nfc, ComposesOrdersAndLeavesBrokenBytesAlone) {
  EXPECT_EQ(nfc("e\u0301"), "é");
  EXPECT_EQ(nfc("a\u0307\u0323"), "\u1EA1\u0307");
  EXPECT_EQ(nfc("\u1112\u1161\u11AB"), "한");
  EXPECT_EQ(nfc("\u212B"), "Å");
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093C") << "a composition exclusion";
  EXPECT_EQ(nfc("e\xFF\u0301"), "e\xFF\u0301");
  EXPECT_EQ(nfc(std::string_view("\0e\u0301\0", 5)), std::string_view("\0é\0", 4));
  EXPECT_EQ(nfc(""), "");
}

TEST(SpecialTokens, FindsTheLeftmostThenTheLongest) {
  SpecialTokens tokens;
  tokens.add("<a>", 1);
  tokens.add("<a><b>", 2);
  tokens.add("b", 3);
  tokens.add("", 4);
  tokens.add("<a>", 5);
  const auto find = [&](std::string_view text, size_t from = 0) {
    const SpecialTokens::Match m = tokens.find(text, from);
    return std::tuple(m.id, m.begin, m.length);
  };
  EXPECT_EQ(find("x<a>"), std::tuple(1, 1u, 3u));
  EXPECT_EQ(find("<a><b>"), std::tuple(2, 0u, 6u));
  EXPECT_EQ(find("<a><bc"), std::tuple(1, 0u, 3u));
  EXPECT_EQ(find("<a><b", 1), std::tuple(3, 4u, 1u));
  EXPECT_EQ(std::get<0>(find("<a")), -1);
  EXPECT_EQ(std::get<0>(find("")), -1);
}

/// A spec whose vocabulary is all bytes and random merges over a small alphabet.
TokenizerSpec random_spec(Rng& rng, size_t n_merges) {
  TokenizerSpec spec;
  spec.source = "random";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    spec.tokens.push_back({to_byte_level({&c, 1}), TokenType::Normal});
  }
  std::vector<std::string> texts = {"a", "b", "c"};
  while (spec.merges.size() < n_merges) {
    const std::string left = texts[rng.next() % texts.size()], right = texts[rng.next() % texts.size()];
    std::string merge = left;
    merge.append(" ").append(right);
    if (std::ranges::find(spec.merges, merge) != spec.merges.end()) continue;
    spec.merges.push_back(merge);
    if (std::ranges::find(texts, left + right) != texts.end()) continue;
    texts.push_back(left + right);
    spec.tokens.push_back({left + right, TokenType::Normal});
  }
  return spec;
}

/// The definition, word for word: join the best pair, the leftmost of equals, until there is none.
std::string merged_slowly(const TokenizerSpec& spec, const std::string& text) {
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  while (true) {
    size_t best = spec.merges.size(), at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = std::ranges::find(spec.merges, parts[i] + ' ' + parts[i + 1]);
      const auto rank = static_cast<size_t>(found - spec.merges.begin());
      if (rank < best) best = rank, at = i;
    }
    if (best == spec.merges.size()) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  std::string joined;
  for (const std::string& part : parts) joined += part + '|';
  return joined;
}

TEST(Bpe, JoinsAsTheDefinitionSays) {
  Rng rng(99);
  for (int round = 0; round < 40; ++round) {
    const TokenizerSpec spec = random_spec(rng, 1 + rng.next() % 40);
    const Bpe bpe(spec);
    for (int i = 0; i < 50; ++i) {
      std::string text(rng.next() % 90, 'a');
      for (char& c : text) c = static_cast<char>('a' + rng.next() % 3);
      Ids ids;
      bpe.encode(text, ids);
      std::string joined;
      for (const int32_t id : ids) joined += spec.tokens[static_cast<size_t>(id)].text + '|';
      ASSERT_EQ(joined, merged_slowly(spec, text));
    }
  }
}

TEST(Bpe, RepeatedPiecesGetTheSameIdsAsFresh) {
  Rng rng(7);
  TokenizerSpec spec = random_spec(rng, 30);
  spec.patterns = {"[a-c]+", "\\s"};
  const Bpe bpe(spec);
  std::string text;
  Ids one_by_one;
  for (int i = 0; i < 5000; ++i) {
    std::string word(1 + rng.next() % 5, 'a');
    for (char& c : word) c = static_cast<char>('a' + rng.next() % 3);
    bpe.encode(word, one_by_one);
    bpe.encode(" ", one_by_one);
    text += word + ' ';
  }
  Ids ids;
  bpe.encode(text, ids);
  EXPECT_EQ(ids, one_by_one);
}

TEST(Bpe, IgnoreMergesTakesWholePiecesThatNoMergeMakes) {
  Rng rng(1);
  TokenizerSpec spec = random_spec(rng, 0);
  spec.tokens.push_back({"abc", TokenType::Normal});
  spec.tokens.push_back({"cba", TokenType::Control, true});
  Ids merged, whole, control;
  Bpe(spec).encode("abc", merged);
  spec.ignore_merges = true;
  Bpe(spec).encode("abc", whole);
  Bpe(spec).encode("cba", control);
  EXPECT_EQ(merged, (Ids{'a', 'b', 'c'}));
  EXPECT_EQ(whole, Ids{256});
  EXPECT_EQ(control, (Ids{'c', 'b', 'a'})) << "text that is not parsed gives no control token";
}

TEST(Bpe, BytesWithoutATokenGiveTheUnknownTokenOrNothing) {
  Rng rng(1);
  TokenizerSpec spec = random_spec(rng, 0);
  spec.tokens['x'].text = "unused";
  Ids ids;
  Bpe(spec).encode("axb", ids);
  EXPECT_EQ(ids, (Ids{'a', 'b'}));
  spec.unk = 3;
  ids.clear();
  Bpe(spec).encode("axb", ids);
  EXPECT_EQ(ids, (Ids{'a', 3, 'b'}));
}

TEST(Bpe, TheLaterOfTwoEqualMergesCounts) {
  Rng rng(1);
  TokenizerSpec spec = random_spec(rng, 0);
  spec.tokens.push_back({"ab", TokenType::Normal});
  spec.tokens.push_back({"bc", TokenType::Normal});
  spec.merges = {"a b", "b c", "a b"};
  Ids ids;
  Bpe(spec).encode("abc", ids);
  EXPECT_EQ(ids, (Ids{'a', 257}));
}

TEST(Bpe, APrunedVocabularyLeavesMergesOut) {  // "a" and "b" are there, "ab" is not
  Rng rng(1);
  TokenizerSpec spec = random_spec(rng, 0);
  spec.merges = {"a b"};
  spec.pruned_merges = true;
  const Bpe bpe{spec};
  spec.merges = {"a 中"};
  EXPECT_THROW(Bpe{spec}, Error);
}

TEST(Bpe, RefusesMergesThatMakeNoSense) {
  Rng rng(1);
  for (const char* merge : {"ab", "a b c", "a 中", "a b", "", " ", "a ", " a"}) {
    TokenizerSpec spec = random_spec(rng, 0);
    spec.merges = {merge};
    EXPECT_THROW(Bpe{spec}, Error) << merge;
  }
}

}  // namespace
}  // namespace sw
