// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <gtest/gtest.h>

namespace sw {
namespace {

TEST(Error, OneLineOfItsParts) {
  EXPECT_STREQ(Error({.what = "tensor data ends past the end of the file",
                      .where = "model.gguf",
                      .expected = "at most 4096 bytes",
                      .got = "8192 bytes",
                      .hint = "is the download complete?"})
                   .what(),
               "tensor data ends past the end of the file: model.gguf: expected at most 4096 bytes, got 8192 "
               "bytes (is "
               "the download complete?)");
  EXPECT_STREQ(Error({.what = "bad"}).what(), "bad");
  EXPECT_STREQ(Error({.what = "bad", .got = "x"}).what(), "bad: got x");
  EXPECT_STREQ(Error({.what = "bad", .expected = "x"}).what(), "bad: expected x");
  EXPECT_STREQ(Error({.what = "bad", .where = "f", .hint = "h"}).what(), "bad: f (h)");
}

TEST(Error, SystemErrorsAreErrors) {
  try {
    throw SystemError({.what = "disk full"});
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "disk full");
    EXPECT_EQ(e.parts().what, "disk full");
    EXPECT_NE(dynamic_cast<const SystemError*>(&e), nullptr);
  }
}

TEST(Error, LineStaysShortAndSingle) {
  const Error e({.what = "bad name", .got = "a\nb\r\x1b[31m" + std::string(100000, 'x')});
  const std::string line = e.what();
  EXPECT_LT(line.size(), 1100u);
  EXPECT_EQ(line.find_first_of("\n\r\x1b"), std::string::npos);
  EXPECT_EQ(line.substr(0, 33), "bad name: got a\\x0ab\\x0d\\x1b[31mx");
  EXPECT_EQ(line.substr(line.size() - 4), "x...");
}

TEST(Error, LongTextOfAFileDoesNotHideWhere) {
  const std::string line = Error({.what = "a merge names '" + std::string(5000, '(') + "'",
                                  .where = "model.gguf, " + std::string(5000, 'k'),
                                  .expected = "a token"})
                               .what();
  EXPECT_NE(line.find("...: model.gguf, k"), std::string::npos) << line;
  EXPECT_TRUE(line.ends_with("...: expected a token")) << line;
}

TEST(Printable, EscapesControls) {
  EXPECT_EQ(printable(std::string("a\0b\x1f\x7f~ ", 7)), "a\\x00b\\x1f\\x7f~ ");
  EXPECT_EQ(printable("\t"), "\\x09");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, KeepsUtf8) {
  const std::string text = "Grüße, 世界 😀 \u00a0\uffff\U0010ffff";
  EXPECT_EQ(printable(text), text);
}

TEST(Printable, EscapesC1ControlsAndWhatIsNoUtf8) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");  // CSI in one character
  EXPECT_EQ(printable("\x80"), "\\x80");
  EXPECT_EQ(printable("\xc3"), "\\xc3");
  EXPECT_EQ(printable("\xc3("), "\\xc3(");
  EXPECT_EQ(printable("\xe4\xb8"), "\\xe4\\xb8");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");                    // '/' too long
  EXPECT_EQ(printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");           // the same
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("12345", 5), "12345");
  EXPECT_EQ(printable("123456", 5), "12345...");
  EXPECT_EQ(printable("世界", 6), "世界");
  EXPECT_EQ(printable("世界", 5), "世...");
  EXPECT_EQ(printable("世界", 3), "世...");
  EXPECT_EQ(printable("世界", 2), "...");
  EXPECT_EQ(printable("a\n", 4), "a...") << "an escape is not cut either";
  EXPECT_EQ(printable("a", 0), "...");
}

TEST(AssertDeathTest, NamesTheConditionAndThePlace) {
  EXPECT_DEATH(SW_ASSERT(1 + 1 == 3), "internal error: 1 \\+ 1 == 3 failed at .*error_test.cpp:[0-9]+");
}

}  // namespace
}  // namespace sw
