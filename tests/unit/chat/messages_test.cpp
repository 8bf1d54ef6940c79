// SPDX-License-Identifier: MIT
// Messages as clients send them, and the model's several templates. The messages are those that
// apply_chat_template of transformers 5.24.0 hands to a template.
#include <gtest/gtest.h>

#include "base/error.h"
#include "chat/chat_template.h"
#include "support/refusal.h"

namespace sw {
namespace {

using Json = ChatTemplate::Json;
using testing::expect_refused;

Json prepared(const char* message) { return prepare_messages(Json::array({Json::parse(message)}))[0]; }

TEST(PrepareMessages, MembersThatAreNullAreAbsent) {
  EXPECT_EQ(prepared(R"({"role": "assistant", "content": null, "tool_calls": [null]})").dump(),
            R"({"role":"assistant","tool_calls":[null]})");
  EXPECT_EQ(prepared(R"({"role": "user", "content": "", "name": false})").dump(),
            R"({"role":"user","content":"","name":false})");
}

TEST(PrepareMessages, ReasoningHasTheNamesThatTemplatesRead) {
  for (const char* name : {"reasoning", "thinking", "reasoning_content"}) {
    const Json message = prepared((std::string(R"({"role": "assistant", ")") + name + R"(": "R"})").c_str());
    EXPECT_EQ(message.at("reasoning_content"), "R") << name;
    EXPECT_EQ(message.at("thinking"), "R") << name;
  }
  const Json both = prepared(R"({"thinking": "T", "reasoning": "R", "reasoning_content": null})");
  EXPECT_EQ(both.dump(), R"({"thinking":"T","reasoning":"R","reasoning_content":"T"})");
  EXPECT_FALSE(prepared(R"({"reasoning": null})").contains("reasoning_content"));
  EXPECT_EQ(prepared("7"), 7) << "what is no message is left to the template";
}

Tokenizer tokenizer_with(const std::map<std::string, std::string>& named) {
  TokenizerSpec spec;
  spec.tokens = {{"a", TokenType::Normal}};
  spec.chat_template = "default {{ messages[0].content }}";
  spec.named_templates = named;
  return Tokenizer(spec);
}

TEST(ChatTemplateNames, ToolsTakeTheirOwnTemplate) {
  const Tokenizer tokenizer = tokenizer_with({{"tool_use", "tools {{ tools | length }}"}, {"rag", "rag"}});
  const Json messages = Json::parse(R"([{"role": "user", "content": "c", "name": null}])");
  EXPECT_EQ(ChatTemplate(tokenizer).render(messages), "default c");
  EXPECT_EQ(ChatTemplate(tokenizer).render(messages, Json::array({1, 2})), "tools 2");
  EXPECT_EQ(ChatTemplate(tokenizer, "rag").render(messages, Json::array({1})), "rag");
  EXPECT_EQ(ChatTemplate(tokenizer, "default").render(messages, Json::array({1})), "default c");
  EXPECT_EQ(ChatTemplate(tokenizer_with({})).render(messages, Json::array({1})), "default c");
  expect_refused([&] { ChatTemplate(tokenizer, "other"); },
                 "no chat template of this name: expected one of default, rag, tool_use, got other");
  expect_refused([&] { ChatTemplate(tokenizer_with({}), "tool_use"); }, "expected one of default, got");
}

TEST(ChatTemplateNames, AModelWithoutADefaultStillHasTheOthers) {
  TokenizerSpec spec;
  spec.tokens = {{"a", TokenType::Normal}};
  spec.named_templates = {{"tool_use", "tools"}, {"rag", "rag"}};
  const Tokenizer tokenizer(spec);
  const Json none = Json::array();
  EXPECT_EQ(ChatTemplate(tokenizer, "rag").render(none), "rag");
  EXPECT_EQ(ChatTemplate(tokenizer).render(none, none), "tools") << "an empty list of tools is one, too";
  expect_refused([&] { ChatTemplate(tokenizer).render(none); }, "--template-name takes one of rag, tool_use");
  spec.named_templates.erase("tool_use");
  expect_refused(
      [&] {
        const Tokenizer only(spec);
        ChatTemplate{only};
      },
      "takes one of rag");
  spec.named_templates.clear();
  expect_refused(
      [&] {
        const Tokenizer none_at_all(spec);
        ChatTemplate{none_at_all};
      },
      "the model has no chat template");
}

}  // namespace
}  // namespace sw
