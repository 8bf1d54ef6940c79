// SPDX-License-Identifier: MIT
#include "text/regex.h"

#include <gtest/gtest.h>
#include <vector>

#include "base/error.h"
#include "support/refusal.h"

namespace sw {
namespace {

using Pieces = std::vector<std::string_view>;

/// The matches, and what lies between them.
Pieces cut(const char* pattern, std::string_view text) {
  Pieces pieces;
  size_t done = 0;
  const auto add = [&](size_t begin, size_t end) {
    if (end > begin) pieces.push_back(text.substr(begin, end - begin));
  };
  Regex(pattern).for_each_match(text, [&](size_t begin, size_t end) {
    add(done, begin);
    add(begin, end);
    done = end;
  });
  add(done, text.size());
  return pieces;
}

// As the `tokenizers` library cuts these (its regular expressions are Oniguruma's Ruby dialect).
TEST(Regex, ReadsTheDialectOfTokenizerJson) {
  EXPECT_EQ(cut("x*", "axxb"), (Pieces{"a", "xx", "b"}));
  EXPECT_EQ(cut("(?=b)", "abab"), (Pieces{"a", "ba", "b"}));
  EXPECT_EQ(cut("a+$", "aa\naa"), (Pieces{"aa", "\n", "aa"}));
  EXPECT_EQ(cut("^a", "a\na"), (Pieces{"a", "\n", "a"}));
  EXPECT_EQ(cut("a.b", "a\nb a b"), (Pieces{"a\nb ", "a b"}));
  EXPECT_EQ(cut("a++a", "aaab"), (Pieces{"aaab"}));
  EXPECT_EQ(cut("\\p{N}{1,3}+", "1234567"), (Pieces{"1234567"})) << "an interval is never possessive";
  EXPECT_EQ(cut("(?:\\p{N}x){1,2}+4", "1x2x3x4"), (Pieces{"1x2x3x4"}));
  EXPECT_EQ(cut("é{2}+", "éééé"), (Pieces{"éééé"}));
  EXPECT_EQ(cut("\\s+", "a\u180E\u0085\u00A0b"), (Pieces{"a\u180E", "\u0085\u00A0", "b"}))
      << "U+180E is no white space";
  EXPECT_EQ(cut("[^\\s]+", "a\u180E\u3000b"), (Pieces{"a\u180E", "\u3000", "b"}));
  EXPECT_EQ(cut("(?i:'s|k)", "'ſx\u212A"), (Pieces{"'ſ", "x", "\u212A"}));
  EXPECT_EQ(cut("{x}", "a{x}"), (Pieces{"a", "{x}"}));
  EXPECT_EQ(cut("\\x{41}", "xAx"), (Pieces{"x", "A", "x"}));
}

// Each row as `tokenizers` 0.23.3 splits it.
TEST(Regex, ClassesWithinClassesWordEdgesAndWhereTheSearchBegan) {
  EXPECT_EQ(cut("[^(b|[.,!])]+", "ab(c.d|e)f,g!"),
            (Pieces{"a", "b(", "c", ".", "d", "|", "e", ")", "f", ",", "g", "!"}));
  EXPECT_EQ(cut("[a[b-d]e]+", "xabcdey"), (Pieces{"x", "abcde", "y"}));
  EXPECT_EQ(cut("\\d\\b", "12 3a 4_ 5² 6Ⅷ 7\u0301 8!"),
            (Pieces{"1", "2", " 3a 4_ 5² 6Ⅷ 7\u0301 ", "8", "!"}));
  EXPECT_EQ(cut("\\bx", "x\u24B6x x²x"), (Pieces{"x", "\u24B6x ", "x", "²x"}));
  EXPECT_EQ(cut("\\Ga", "aaba"), (Pieces{"a", "a", "ba"}));
  EXPECT_EQ(cut("[\\u0E00-\\u0E7F]+", "aกขb"), (Pieces{"a", "กข", "b"}));
}

TEST(Regex, RefusesWhatTheDialectsReadDifferently) {
  for (const char* pattern : {"[^\\p{L}&&[^a]]+",
                              "[a&&b]",
                              "[a&&[b]c]",
                              "[a&&[b&&[c]]]",
                              "[a[^b]]",
                              "[a-[b]]",
                              "[[a]-b]",
                              "[a[]b]",
                              "[a[b[c]]]",
                              "[a[b&&c]]",
                              "[a[b",
                              "[\\b]",
                              "\\B",
                              "\\u12",
                              "\\u12G4",
                              "\\h",
                              "\\w+",
                              "\\R",
                              "(?m:a.b)",
                              "(?R)",
                              "(?1)",
                              "(*LIMIT_MATCH=1)a",
                              "(a",
                              "a)",
                              "[a",
                              "\\p{L",
                              "\\p{Nonsense}",
                              "a**?*",
                              "[]a]",
                              "\\",
                              "*"}) {
    EXPECT_THROW(Regex{pattern}, Error) << pattern;
  }
  EXPECT_THROW(Regex{std::string(70'000, 'a')}, Error);
  EXPECT_THROW(Regex{std::string(20'000, '(') + std::string(20'000, ')')}, Error);
}

TEST(Regex, EndlessBacktrackingIsAnError) {
  const Regex hostile("(?:a|aa)+$");
  EXPECT_THROW(hostile.for_each_match(std::string(5000, 'a') + '!', [](size_t, size_t) {}), Error);
}

TEST(Regex, BytesOnRequest) {
  EXPECT_EQ(cut("(?-u)[\\x{BC}]", "aмb"), (Pieces{"a\xD0", "\xBC", "b"}));
  EXPECT_EQ(cut("(?-u)x*", "мxx"), (Pieces{"\xD0", "\xBC", "xx"}));
  EXPECT_EQ(cut("\\x{BC}", "м¼"), (Pieces{"м", "¼"}));
  EXPECT_THROW(Regex{"(?-u)[a"}, Error);
}

TEST(Regex, FindsAnywhere) {
  const Regex regex("exps\\.(gate|up)$");
  EXPECT_TRUE(regex.finds("blk.3.exps.gate"));
  EXPECT_FALSE(regex.finds("blk.3.exps.gated"));
  EXPECT_FALSE(regex.finds(""));
  EXPECT_TRUE(Regex("").finds("anything"));
}

// What users write on the command line is matched without recursion: std::regex overflows the stack here.
TEST(Regex, LongTextsDoNotOverflowTheStack) {
  EXPECT_TRUE(Regex("(a|b)*c").finds(std::string(1'000'000, 'a') + 'c'));
}

// And in the dialect that they know from other programs.
TEST(Regex, UsersPatternsAreNotThoseOfTokenizers) {
  const auto finds = [](const char* pattern, const char* text) {
    return Regex(pattern, "-ot", Regex::Dialect::Pcre2).finds(text);
  };
  EXPECT_TRUE(finds("^blk\\.\\d+\\.\\w+_exps\\b", "blk.12.ffn_up_exps.weight"));
  EXPECT_FALSE(finds("[[:alpha:]]{9}|\\x61{2}", "blk.12.ffn_up_exps.weight"));
  testing::expect_refused([&] { finds("a(", ""); }, "-ot, near offset 2");
}

TEST(Regex, ErrorsNameThePatternOrItsPlace) {
  const auto expect = [](const char* pattern, const char* where, const char* part) {
    testing::expect_refused([&] { Regex(pattern, where); }, part);
  };
  expect("a(", "", "pattern 'a('");
  expect("a(", "-ot a(=CPU", "-ot a(=CPU, near offset 2");
  expect("a\\h", "-ot a=CPU", "-ot a=CPU, offset 1");
}

}  // namespace
}  // namespace sw
