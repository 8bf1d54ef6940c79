// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdio>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "support/test_data.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

/// A keeps no text that is not NFC; B keeps every byte.
struct Both {
  explicit Both(const std::filesystem::path& a_folder, const std::filesystem::path& b_folder)
      : a(Tokenizer::from_hf(a_folder)), b(Tokenizer::from_hf(b_folder)) {}

  void expect_round_trip(const std::string& text) const {
    const EncodeOptions plain{.parse_special = false};
    ASSERT_EQ(a.decode(a.encode(text, plain)), nfc(text));
    ASSERT_EQ(b.decode(b.encode(text, plain)), text);
    ASSERT_EQ(b.decode(b.encode(text)), text);
  }

  Tokenizer a, b;
};

TEST(RoundTrip, EveryTextOfOneOrTwoBytes) {
  SW_DATA_OR_SKIP(a, "golden/bailing_moe_v2");
  SW_DATA_OR_SKIP(b, "golden/qwen3_moe");
  const Both both(a, b);
  for (int first = 0; first < 256; ++first) {
    const std::string one(1, static_cast<char>(first));
    both.expect_round_trip(one);
    for (int second = 0; second < 256; ++second) both.expect_round_trip(one + static_cast<char>(second));
  }
}

TEST(RoundTrip, RandomBytes) {
  SW_DATA_OR_SKIP(a, "golden/bailing_moe_v2");
  SW_DATA_OR_SKIP(b, "golden/qwen3_moe");
  const Both both(a, b);
  Rng rng(4711);
  for (int i = 0; i < 100'000; ++i) {
    std::string text(rng.next() % 24, '\0');
    // Half of them mostly leads and continuations, so that broken sequences of all kinds come up.
    const uint32_t least = i % 2 ? 0x80 : 0;
    for (char& c : text) c = static_cast<char>(least + rng.next() % (256 - least));
    both.expect_round_trip(text);
  }
}

TEST(RoundTrip, LongRunsOfOneClassTakeNoTimeToSpeakOf) {
  SW_DATA_OR_SKIP(a, "golden/bailing_moe_v2");
  SW_DATA_OR_SKIP(b, "golden/qwen3_moe");
  const Both both(a, b);
  const std::vector<std::pair<const char*, std::string>> classes = {
      {"letter", "a"},
      {"letters", "the"},
      {"digit", "7"},
      {"space", " "},
      {"newline", "\n"},
      {"CR LF", "\r\n"},
      {"punctuation", "!"},
      {"apostrophe", "'"},
      {"CJK", "中"},
      {"emoji", "😀"},
      {"marks", "\u0301\u0323"},
      {"invalid", "\xFF"},
      {"no-break space", "\u00A0"},
      {"mixed space", " \t\n"},
      {"angle bracket", "<"},
  };
  constexpr size_t kBytes = 1 << 20;
  for (const auto& [name, unit] : classes) {
    std::string text;
    while (text.size() < kBytes) text += unit;
    text += 'x';
    for (const Tokenizer* tokenizer : {&both.a, &both.b}) {
      const auto start = std::chrono::steady_clock::now();
      const auto ids = tokenizer->encode(text);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      std::printf("  %-15s %s: %6.1f MB/s\n", name, tokenizer == &both.a ? "A" : "B",
                  1e-6 * kBytes / took.count());
      EXPECT_LT(took.count(), 30) << name;
      EXPECT_EQ(tokenizer->decode(ids), tokenizer == &both.a ? nfc(text) : text) << name;
    }
  }
}

}  // namespace
}  // namespace sw
