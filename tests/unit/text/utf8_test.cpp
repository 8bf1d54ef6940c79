// SPDX-License-Identifier: MIT
#include "text/utf8.h"

#include <gtest/gtest.h>

namespace sw {
namespace {

using Kind = Utf8Step::Kind;

TEST(Utf8, EveryCodePointComesBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string text;
    append_utf8(c, text);
    const Utf8Step step = next_utf8(text);
    if (c >= 0xD800 && c < 0xE000) {
      ASSERT_EQ(step.kind, Kind::Invalid);
      continue;
    }
    ASSERT_EQ(step.kind, Kind::Valid) << static_cast<uint32_t>(c);
    ASSERT_EQ(step.length, text.size());
    ASSERT_EQ(step.code_point, c);
    for (size_t n = 1; n < text.size(); ++n) {
      const Utf8Step part = next_utf8(std::string_view(text).substr(0, n));
      ASSERT_EQ(part.kind, Kind::Truncated);
      ASSERT_EQ(part.length, n);
    }
  }
}

TEST(Utf8, BrokenSequencesEndWhereTheStandardSays) {
  struct Case {
    std::string_view text;
    int length;
  };
  // Table 3-8 and beside it: the length of the first maximal subpart.
  for (const auto& [text, length] : std::initializer_list<Case>{{"\xC0\xAF", 1},
                                                                {"\xE0\x80\xBF", 1},
                                                                {"\xF0\x81\x82\x41", 1},
                                                                {"\xED\xA0\x80", 1},
                                                                {"\xF4\x91\x92\x93", 1},
                                                                {"\xE1\x80\xE2", 2},
                                                                {"\xF0\x91\x92\x41", 3},
                                                                {"\x80", 1},
                                                                {"\xFF", 1},
                                                                {"\xC3\x28", 1}}) {
    EXPECT_EQ(next_utf8(text).kind, Kind::Invalid) << text;
    EXPECT_EQ(next_utf8(text).length, length) << text;
  }
  EXPECT_EQ(valid_utf8_prefix("eight bytes and é then \xFF"), 24u);
  EXPECT_EQ(invalid_utf8_prefix("\xFF\xE2\x82g"), 3u);
  EXPECT_EQ(valid_utf8_prefix(""), 0u);
}

}  // namespace
}  // namespace sw
