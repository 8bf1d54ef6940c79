// SPDX-License-Identifier: MIT
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "support/test_data.h"
#include "text/utf8.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/spaces.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

/// Byte-level tokenizers A (keeps no text that is not NFC) and B, and SentencePiece's BPE and unigram with
/// bytes as fallback, which cannot tell their mark from a space.
struct All {
  All(const std::filesystem::path& a_folder, const std::filesystem::path& b_folder)
      : a(Tokenizer::from_hf(a_folder)), b(Tokenizer::from_hf(b_folder)) {}

  void expect_round_trip(const std::string& text) const {
    const EncodeOptions plain{.parse_special = false};
    ASSERT_EQ(a.decode(a.encode(text, plain)), nfc(text));
    ASSERT_EQ(b.decode(b.encode(text, plain)), text);
    ASSERT_EQ(b.decode(b.encode(text)), text);
    const std::string unmarked = unmark_spaces(text);
    ASSERT_EQ(bpe.decode(bpe.encode(text, plain)), unmarked);
    ASSERT_EQ(unigram.decode(unigram.encode(text, plain)), unmarked);
  }

  static Tokenizer trained(const char* name) {
    return Tokenizer::from_json(testing::source_dir() / "tests/data/sentencepiece" / name);
  }
  Tokenizer a, b, bpe = trained("prepend.json"), unigram = trained("unigram_bytes.json");
};

TEST(RoundTrip, EveryTextOfOneOrTwoBytes) {
  SW_DATA_OR_SKIP(a, "golden/bailing_moe_v2");
  SW_DATA_OR_SKIP(b, "golden/qwen3_moe");
  const All all(a, b);
  for (int first = 0; first < 256; ++first) {
    const std::string one(1, static_cast<char>(first));
    all.expect_round_trip(one);
    for (int second = 0; second < 256; ++second) all.expect_round_trip(one + static_cast<char>(second));
  }
}

/// Bytes of one of three kinds: any; mostly leads and continuations, so that broken sequences of all kinds
/// come up; characters of all lengths and ASCII, so that merges do.
std::string random_text(Rng& rng, int kind) {
  std::string text;
  for (uint64_t n = rng.next() % 24; n > 0; --n) {
    if (kind == 0)
      text += static_cast<char>(rng.next());
    else if (kind == 1)
      text += static_cast<char>(0x80 + rng.next() % 0x80);
    else
      append_utf8(static_cast<char32_t>(rng.next() % std::array{0x80u, 0x250u, 0xD800u}[rng.next() % 3]),
                  text);
  }
  return text;
}

// SWITCHYARD_FUZZ_RUNS: how many texts.
TEST(RoundTrip, RandomTexts) {
  SW_DATA_OR_SKIP(a, "golden/bailing_moe_v2");
  SW_DATA_OR_SKIP(b, "golden/qwen3_moe");
  const All all(a, b);
  const char* const wanted = std::getenv("SWITCHYARD_FUZZ_RUNS");
  const long n_texts = wanted ? std::atol(wanted) : 50'000;
  Rng rng(4711);
  for (long i = 0; i < n_texts; ++i) all.expect_round_trip(random_text(rng, static_cast<int>(i % 3)));
}

TEST(RoundTrip, LongRunsOfOneClassTakeNoTimeToSpeakOf) {
  SW_DATA_OR_SKIP(a, "golden/bailing_moe_v2");
  SW_DATA_OR_SKIP(b, "golden/qwen3_moe");
  const All all(a, b);
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
    const std::pair<const char*, const Tokenizer*> tokenizers[] = {
        {"A", &all.a}, {"B", &all.b}, {"BPE", &all.bpe}, {"unigram", &all.unigram}};
    std::printf("  %-15s", name);
    for (const auto& [kind, tokenizer] : tokenizers) {
      const std::clock_t start = std::clock();  // processor time: other programs must not count
      const auto ids = tokenizer->encode(text);
      const double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      std::printf(" %s %.1f", kind, 1e-6 * static_cast<double>(text.size()) / took);
      EXPECT_LT(took, 30) << name;
      EXPECT_EQ(tokenizer->decode(ids), tokenizer == &all.a ? nfc(text) : text) << name;
    }
    std::printf(" MB/s\n");
  }
}

}  // namespace
}  // namespace sw
