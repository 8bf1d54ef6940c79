// SPDX-License-Identifier: MIT
#include "chat/chat_session.h"

#include <gtest/gtest.h>
#include <limits>

#include "support/refusal.h"
#include "support/test_data.h"

namespace sw {
namespace {

using Json = ChatTemplate::Json;
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

Json message(const char* role, const char* text) { return {{"role", role}, {"content", text}}; }

class ChatSessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
    tokenizer_.emplace(Tokenizer::from_hf(folder));
  }
  int64_t n_token(const Json& messages) const {
    return std::ssize(ChatTemplate(*tokenizer_).prompt(messages).ids);
  }

  std::optional<Tokenizer> tokenizer_;
};

TEST_F(ChatSessionTest, TheTemplateIsAPureFunctionOfMessages) {
  const ChatTemplate source(*tokenizer_);
  const Json messages = {message("user", "Who lives in the wood?")};
  const std::string text = source.render(messages);
  EXPECT_NE(text.find("Who lives in the wood?"), text.npos);
  EXPECT_EQ(text, source.render(messages));
  EXPECT_EQ(source.prompt(messages).ids, tokenizer_->encode(text));
  EXPECT_NE(source.render(messages, nullptr, {{"add_generation_prompt", false}}), text) << "kwargs win";
  EXPECT_EQ(text, source.render_variables({{"messages", messages}, {"add_generation_prompt", true}}));
}

TEST_F(ChatSessionTest, ASessionsPromptIsThatOfItsMessages) {
  ChatSession session(*tokenizer_);
  session.set_system("You are a fox.");
  session.add_user("Who are you?");
  session.add_answer("A fox.", "");
  session.add_user("And where?");
  const Json messages = {message("system", "You are a fox."), message("user", "Who are you?"),
                         message("assistant", "A fox."), message("user", "And where?")};
  EXPECT_EQ(session.messages(), messages);
  const auto [prompt, n_dropped] = session.fit_prompt({.wanted = kNoLimit, .most = kNoLimit});
  EXPECT_EQ(n_dropped, 0);
  EXPECT_EQ(prompt.ids, ChatTemplate(*tokenizer_).prompt(messages).ids);
}

TEST_F(ChatSessionTest, TheOldestExchangesMakeRoom) {
  ChatSession session(*tokenizer_);
  session.set_system("s");
  for (const char* text : {"one", "two", "three"}) {
    session.add_user(text);
    session.add_answer("yes", "");
  }
  session.add_user("four");
  const Json left = {message("system", "s"), message("user", "three"), message("assistant", "yes"),
                     message("user", "four")};
  const auto [prompt, n_dropped] = session.fit_prompt({.wanted = n_token(left), .most = n_token(left)});
  EXPECT_EQ(n_dropped, 2);
  EXPECT_EQ(session.messages(), left);
  EXPECT_EQ(std::ssize(prompt.ids), n_token(left));
  const Json last = {message("system", "s"), message("user", "four")};
  testing::expect_refused([&] { session.fit_prompt({.wanted = 1, .most = 1}); },
                          "does not fit in the context");
  EXPECT_EQ(session.messages(), last);
  EXPECT_EQ(std::ssize(session.fit_prompt({.wanted = 1, .most = n_token(last)}).prompt.ids), n_token(last))
      << "the last message may take more than is wanted";
  EXPECT_FALSE(session.drop_oldest());
}

TEST(DropOldestExchange, AQuestionGoesWithItsAnswer) {
  std::vector<Json> messages = {message("user", "a"), message("user", "b"), message("assistant", "c"),
                                message("user", "d")};
  EXPECT_TRUE(drop_oldest_exchange(messages));
  EXPECT_EQ(messages.size(), 3u) << "a question whose answer failed goes alone";
  EXPECT_TRUE(drop_oldest_exchange(messages));
  EXPECT_EQ(messages, std::vector<Json>{message("user", "d")});
  EXPECT_FALSE(drop_oldest_exchange(messages));
  EXPECT_EQ(messages.size(), 1u);
}

TEST_F(ChatSessionTest, ReasoningBeginsWhereThePromptOpensTheTag) {
  EXPECT_TRUE(begins_reasoning("<assistant><think>\n"));
  EXPECT_FALSE(begins_reasoning("<think>\n</think>\n\n"));
  EXPECT_FALSE(begins_reasoning("") || begins_reasoning(" \n"));
  const std::string long_text(200, 'x');
  EXPECT_TRUE(begins_reasoning(*tokenizer_, tokenizer_->encode(long_text + "<think>\n")));
  EXPECT_FALSE(begins_reasoning(*tokenizer_, tokenizer_->encode("<think>" + long_text)));
  EXPECT_FALSE(begins_reasoning(*tokenizer_, {}));
}

}  // namespace
}  // namespace sw
