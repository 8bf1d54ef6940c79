// SPDX-License-Identifier: MIT
// The tokenizers of SentencePiece's kinds: characters merged, and unigram.
#include <algorithm>
#include <array>
#include <cmath>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "support/test_data.h"
#include "tokenizer/char_bpe.h"
#include "tokenizer/spaces.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unigram.h"
#include "unit/tokenizer/mixed_strings.h"
#include "unit/tokenizer/through_gguf.h"

namespace sw {
namespace {

using Ids = std::vector<int32_t>;

TokenizerSpec read_trained(const std::string& name) {
  return read_tokenizer_json(testing::source_dir() / "tests/data/sentencepiece" / (name + ".json"));
}

class Trained : public ::testing::TestWithParam<const char*> {};

TEST_P(Trained, MixedStringsGiveTheIdsOfTheLibrary) {
  const testing::MixedStrings mixed = testing::read_mixed_strings();
  const TokenizerSpec spec = read_trained(GetParam());
  const Tokenizer direct(spec), again(testing::through_gguf(spec, 3));
  testing::expect_column(mixed, std::string("ids:") + GetParam(), [&](const std::string& text) {
    const Ids ids = direct.encode(text);
    EXPECT_EQ(again.encode(text), ids) << "through GGUF: " << text;
    return testing::fixture_hash(std::span<const int32_t>(ids));
  });
}

INSTANTIATE_TEST_SUITE_P(All, Trained,
                         ::testing::Values("prepend", "metaspace", "words", "unigram", "unigram_bytes"));

TEST(SentencePiece, WhatIsDecodedIsWhatWasEncoded) {
  const testing::MixedStrings mixed = testing::read_mixed_strings();
  for (const char* name : {"prepend", "unigram_bytes"}) {
    const Tokenizer tokenizer(read_trained(name));
    for (const std::string& text : mixed.strings) {
      // The mark itself cannot be told from a space.
      const std::string expected = unmark_spaces(text);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, {.parse_special = false})), expected);
    }
  }
}

TEST(SentencePiece, DecodesAsTheLibraryDoes) {
  const Tokenizer prepend(read_trained("prepend"));
  const Ids ids = prepend.encode("<s>Hi <s> you", {});
  EXPECT_EQ(prepend.decode(ids), "<s> Hi <s>  you");
  EXPECT_EQ(prepend.decode(ids, true), "Hi   you");
  EXPECT_EQ(prepend.decode(prepend.encode("  Hi")), "  Hi");
  EXPECT_EQ(prepend.decode({}), "");
  const Tokenizer metaspace(read_trained("metaspace"));
  EXPECT_EQ(metaspace.decode(metaspace.encode("<s>Hi <s> you")), "<s>Hi <s> you");
  EXPECT_EQ(metaspace.decode(metaspace.encode("Hi")), "Hi");
}

/// Tokens with scores: single letters, then what is given.
TokenizerSpec scored_spec(const std::vector<std::pair<std::string, double>>& tokens) {
  TokenizerSpec spec;
  spec.source = "scored";
  spec.kind = TokenizerKind::CharBpe;
  for (const auto& [text, score] : tokens) {
    spec.tokens.push_back({text, TokenType::Normal});
    spec.scores.push_back(score);
  }
  return spec;
}

/// A spec whose tokens are over a, b and the two-byte ä, some of them without their parts.
TokenizerSpec random_spec(Rng& rng) {
  const char* const letters[] = {"a", "b", "ä"};
  std::map<std::string, double> tokens;
  for (const char* letter : letters) {
    if (rng.next() % 4) tokens[letter] = -20;
  }
  const size_t n = 2 + rng.next() % 25;
  for (size_t i = 0; i < n; ++i) {
    std::string text;
    for (size_t length = 2 + rng.next() % 4; length > 0; --length) text += letters[rng.next() % 3];
    tokens[text] = -static_cast<double>(rng.next() % 12) / 2;
  }
  return scored_spec({tokens.begin(), tokens.end()});
}

std::vector<std::string> characters(const std::string& text) {
  std::vector<std::string> parts;
  for (const char c : text) {
    if ((static_cast<uint8_t>(c) & 0xC0) == 0x80)
      parts.back() += c;
    else
      parts.emplace_back(1, c);
  }
  return parts;
}

std::string random_text(Rng& rng, size_t n_most) {
  std::string text;
  for (size_t n = rng.next() % n_most; n > 0; --n) text += std::array{"a", "b", "ä", "c"}[rng.next() % 4];
  return text;
}

int32_t id_of(const TokenizerSpec& spec, const std::string& text) {
  const auto found = std::ranges::find(spec.tokens, text, &TokenizerSpec::Token::text);
  return found == spec.tokens.end() ? -1 : static_cast<int32_t>(found - spec.tokens.begin());
}

/// SentencePiece's definition: join the neighbours whose text is the token of the greatest score, the
/// leftmost of equals, until there is none; drop what is no token.
Ids merged_slowly(const TokenizerSpec& spec, const std::string& text) {
  std::vector<std::string> parts = characters(text);
  while (true) {
    int32_t best = -1;
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const int32_t id = id_of(spec, parts[i] + parts[i + 1]);
      if (id >= 0 &&
          (best < 0 || spec.scores[static_cast<size_t>(id)] > spec.scores[static_cast<size_t>(best)]))
        best = id, at = i;
    }
    if (best < 0) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) {
    if (const int32_t id = id_of(spec, part); id >= 0) ids.push_back(id);
  }
  return ids;
}

TEST(CharBpe, JoinsByScoreAsTheDefinitionSays) {
  Rng rng(5);
  for (int round = 0; round < 100; ++round) {
    const TokenizerSpec spec = random_spec(rng);
    const CharBpe model(spec);
    for (int i = 0; i < 40; ++i) {
      const std::string text = random_text(rng, 70);
      Ids ids;
      model.encode(text, ids);
      ASSERT_EQ(ids, merged_slowly(spec, text)) << text;
    }
  }
}

/// The greatest sum of all ways to spell the text; a character costs `unknown` where no token does.
double best_sum(const TokenizerSpec& spec, const std::string& text, double unknown) {
  std::vector<double> best(text.size() + 1, -1e300);
  best[0] = 0;
  size_t at = 0;
  for (const std::string& character : characters(text)) {
    bool known = false;
    for (size_t id = 0; id < spec.tokens.size(); ++id) {
      const std::string& token = spec.tokens[id].text;
      if (text.compare(at, token.size(), token) != 0) continue;
      known |= token == character;
      best[at + token.size()] = std::max(best[at + token.size()], best[at] + spec.scores[id]);
    }
    const size_t next = at + character.size();
    if (!known) best[next] = std::max(best[next], best[at] + unknown);
    at = next;
  }
  return best.back();
}

TEST(Unigram, FindsTheGreatestSum) {
  Rng rng(6);
  for (int round = 0; round < 100; ++round) {
    TokenizerSpec spec = random_spec(rng);
    spec.kind = TokenizerKind::Unigram;
    const double unknown = std::ranges::min(spec.scores) - 10;
    const Unigram model(spec);
    for (int i = 0; i < 40; ++i) {
      const std::string text = random_text(rng, 40);
      Ids ids;
      model.encode(text, ids);
      double sum = 0;
      size_t n_spelled = 0;
      for (const int32_t id : ids) {
        sum += spec.scores[static_cast<size_t>(id)];
        n_spelled += characters(spec.tokens[static_cast<size_t>(id)].text).size();
      }
      sum += unknown * static_cast<double>(characters(text).size() - n_spelled);
      ASSERT_DOUBLE_EQ(sum, best_sum(spec, text, unknown)) << text;
    }
  }
}

TEST(SentencePiece, TextThatIsNotParsedGivesNoControlOrByteToken) {
  const Tokenizer tokenizer(read_trained("unigram_bytes"));
  const TokenizerSpec spec = read_trained("unigram_bytes");
  for (const int32_t id : tokenizer.encode("<s></s><0x41><unk>", {.parse_special = false})) {
    EXPECT_FALSE(tokenizer.is_special(id));
    EXPECT_NE(tokenizer.piece(id), "A");
  }
}

TEST(SentencePiece, UnknownTextBecomesBytesOrOneUnknownToken) {
  TokenizerSpec spec = scored_spec({{"a", -1}, {"?", 0}});
  spec.unk = 1;
  spec.tokens[1].type = TokenType::Unknown;
  EXPECT_EQ(Tokenizer(spec).encode("axyza\xFFx"), (Ids{0, 1, 0, 1}));
  spec.kind = TokenizerKind::Unigram;
  EXPECT_EQ(Tokenizer(spec).encode("axyza\xFFx"), (Ids{0, 1, 0, 1}));
  spec.tokens.push_back({"<0x78>", TokenType::Byte});  // only x has its byte
  spec.scores.push_back(0);
  spec.kind = TokenizerKind::CharBpe;
  EXPECT_EQ(Tokenizer(spec).encode("axyxxä"), (Ids{0, 2, 1, 2, 2, 1}));
  spec.unk.reset();
  EXPECT_EQ(Tokenizer(spec).encode("axyxxä"), (Ids{0, 2, 2, 2}));
}

TEST(SentencePiece, RefusesWhatMakesNoSense) {
  const auto expect_refusal = [](const TokenizerSpec& spec) {
    EXPECT_THROW(CharBpe{spec}, Error);
    EXPECT_THROW(Unigram{spec}, Error);
  };
  TokenizerSpec spec = scored_spec({{"a", 0}, {"ab", std::nan("")}});
  expect_refusal(spec);
  spec.scores = {0};
  expect_refusal(spec);
  spec = scored_spec({{"<0xZZ>", 0}});
  spec.tokens[0].type = TokenType::Byte;
  expect_refusal(spec);
  EXPECT_THROW(CharBpe{scored_spec({{std::string(5000, 'a'), 0}})}, Error);
}

TEST(WordCutter, CutsOnlyWhereNoTokenReachesAcross) {
  using Words = std::vector<std::string_view>;
  const std::string text = "ab▁▁c▁d";
  TokenizerSpec spec = scored_spec({{"▁", 0}, {"▁▁", 0}, {"▁c", 0}});
  EXPECT_EQ(WordCutter(spec).cut(text), (Words{"ab", "▁▁c", "▁d"}));
  spec.spaces.split_words = true;
  EXPECT_EQ(WordCutter(spec).cut(text), (Words{"ab", "▁", "▁c", "▁d"}));
  EXPECT_EQ(WordCutter(scored_spec({{"▁", 0}, {"c▁d", 0}})).cut(text), Words{text});
  EXPECT_EQ(WordCutter(scored_spec({{"a", 0}})).cut(text), Words{text}) << "the mark has no token";
  EXPECT_EQ(WordCutter(spec).cut(""), Words{});
}

TEST(Spaces, WhiteSpaceAtTheEnds) {
  EXPECT_EQ(leading_white_space(" \u2003\u3000\tx "), 8u);
  EXPECT_EQ(trailing_white_space(" x \u2003\u3000\t"), 8u);
  EXPECT_EQ(trailing_white_space(" \n"), 2u);
  EXPECT_EQ(trailing_white_space("\x80 "), 1u);
  EXPECT_EQ(trailing_white_space("\x80\x80\x80\x80"), 0u);
  EXPECT_EQ(leading_white_space("\u180E"), 0u);
  EXPECT_EQ(leading_white_space(""), 0u);
  EXPECT_EQ(trailing_white_space(""), 0u);
}

}  // namespace
}  // namespace sw
