// SPDX-License-Identifier: MIT
#include "chat/text_stream.h"

#include <gtest/gtest.h>
#include <optional>

#include "base/error.h"
#include "support/test_data.h"

namespace sw {
namespace {

class TextStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
    tokenizer_.emplace(Tokenizer::from_hf(folder));
  }

  struct Result {
    std::string answer = {}, reasoning = {};
    bool stopped = false;
  };
  /// The ids one by one, until a stop string comes.
  Result stream(const std::vector<int32_t>& ids, const TextStreamOptions& options = {}) const {
    Result result;
    TextStream stream(*tokenizer_, options, [&](std::string_view text, bool reasoning) {
      EXPECT_FALSE(text.empty());
      (reasoning ? result.reasoning : result.answer) += text;
    });
    for (const int32_t id : ids) {
      stream.push(id);
      if (stream.stopped()) break;
    }
    stream.finish();
    result.stopped = stream.stopped();
    return result;
  }
  Result stream(const std::string& text, const TextStreamOptions& options = {}) const {
    return stream(tokenizer_->encode(text), options);
  }

  std::optional<Tokenizer> tokenizer_;
};

TEST_F(TextStreamTest, CharactersOfSeveralTokensComeWhole) {
  const std::string text = "Grüße, 世界 \xF0\x9F\xA6\x8A!";
  EXPECT_EQ(stream(text).answer, text);
  const std::vector<int32_t> ids = tokenizer_->encode("\xF0\x9F\xA6\x8A");
  ASSERT_GT(ids.size(), 1u) << "else nothing is tested";
  EXPECT_EQ(stream(std::vector(ids.begin(), ids.end() - 1)).answer, "\xEF\xBF\xBD") << "half a fox";
}

TEST_F(TextStreamTest, ASpecialTokenMayBeAStopString) {
  const std::string text = "It is a f<|role_end|>ox.";
  ASSERT_EQ(stream(text).answer, "It is a fox.") << "left out, it joins what is around it";
  const Result hidden = stream(text, {.stops = {"<|role_end|>", "fox"}});
  EXPECT_EQ(hidden.answer, "It is a f");
  EXPECT_TRUE(hidden.stopped);
  EXPECT_EQ(stream(text, {.stops = {"<|role_end|>"}, .special = true}).answer, "It is a f");
  EXPECT_FALSE(stream(text, {.stops = {"<|role"}}).stopped) << "which is not the whole token";
}

TEST_F(TextStreamTest, ReasoningAndStopStringsAreNotTheAnswer) {
  const Result result = stream("<think>\nEND? no.</think>\nIt is a fox. END and more", {.stops = {" END"}});
  EXPECT_EQ(result.reasoning, "END? no.");
  EXPECT_EQ(result.answer, "It is a fox.");
  EXPECT_TRUE(result.stopped);
}

TEST_F(TextStreamTest, ThePromptMayHaveOpenedTheReasoning) {
  const Result result = stream("hm</think>yes", {.begins_reasoning = true});
  EXPECT_EQ(result.reasoning, "hm");
  EXPECT_EQ(result.answer, "yes");
  EXPECT_FALSE(result.stopped);
}

TEST_F(TextStreamTest, SpecialTokensOnRequest) {
  ASSERT_TRUE(tokenizer_->eos_id());
  const int32_t eos = *tokenizer_->eos_id();
  std::vector<int32_t> ids = tokenizer_->encode("a b");
  ids.insert(ids.begin() + 1, eos);
  EXPECT_EQ(stream(ids).answer, "a b");
  EXPECT_EQ(stream(ids, {.special = true}).answer, "a" + std::string(tokenizer_->piece(eos)) + " b");
}

TEST_F(TextStreamTest, ASpecialTokenWithinACharacterIsLeftOut) {
  ASSERT_TRUE(tokenizer_->eos_id());
  std::vector<int32_t> ids;
  for (const char c : std::string("\xE2\x82\xAC")) {
    const std::vector<int32_t> byte = tokenizer_->encode(std::string_view(&c, 1));
    ids.insert(ids.end(), byte.begin(), byte.end());
  }
  ASSERT_EQ(ids.size(), 3u);
  ids.insert(ids.begin() + 1, *tokenizer_->eos_id());
  EXPECT_EQ(stream(ids).answer, "\xE2\x82\xAC");
}

TEST_F(TextStreamTest, AnEmptyStopStringIsRefused) { EXPECT_THROW(stream("a", {.stops = {""}}), Error); }

}  // namespace
}  // namespace sw
