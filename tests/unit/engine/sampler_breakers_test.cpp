// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/sampler/dry_breakers.h"
#include "formats/gguf.h"
#include "support/test_data.h"

namespace sw {
namespace {

using Ids = std::vector<int32_t>;

Tokenizer demo_tokenizer() {
  return Tokenizer::from_gguf(GgufFile(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf"));
}

bool ends_with_breaker(const Ids& text, const DryBreakers& breakers) {
  return std::find(breakers.tokens.begin(), breakers.tokens.end(), text.back()) != breakers.tokens.end() ||
         std::any_of(breakers.sequences.begin(), breakers.sequences.end(), [&](const Ids& s) {
           return s.size() <= text.size() && std::equal(s.rbegin(), s.rend(), text.rbegin());
         });
}

TEST(SamplerBreakers, AreTheTokensWithTheText) {
  const Tokenizer tokenizer = demo_tokenizer();
  const std::string texts[] = {"\n", ":"};
  const DryBreakers found = find_dry_breakers(tokenizer, texts);
  EXPECT_TRUE(found.sequences.empty()) << "one byte cannot be spread over tokens";
  Ids expected;
  for (int32_t id = 0; id < tokenizer.n_vocab(); ++id) {
    if (tokenizer.piece(id).find_first_of("\n:") != std::string_view::npos) expected.push_back(id);
  }
  EXPECT_EQ(found.tokens, expected);
  EXPECT_GE(expected.size(), 2u);
}

TEST(SamplerBreakers, AreFoundWhereSeveralTokensMakeThem) {
  const Tokenizer tokenizer = demo_tokenizer();
  const std::string texts[] = {"Reader:\n"};
  const DryBreakers found = find_dry_breakers(tokenizer, texts);
  for (const char* before : {"", "The ", "a\n", "x", "and then the fox said to the "}) {
    const std::string text = before + texts[0];
    EXPECT_TRUE(ends_with_breaker(tokenizer.encode(text), found)) << text;
    EXPECT_FALSE(ends_with_breaker(tokenizer.encode(text + "fox"), found)) << text;
  }
  EXPECT_FALSE(ends_with_breaker(tokenizer.encode("Readers:\n"), found));
}

TEST(SamplerBreakers, EmptyTextsAreRefused) {
  const std::string texts[] = {"\n", ""};
  EXPECT_THROW(find_dry_breakers(demo_tokenizer(), texts), Error);
}

}  // namespace
}  // namespace sw
