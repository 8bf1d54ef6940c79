// SPDX-License-Identifier: MIT
#include "chat/chat_session.h"

#include <utility>

#include "base/error.h"

namespace sw {
namespace {

jinja::Template template_of(const Tokenizer& tokenizer) {
  if (tokenizer.chat_template().empty()) {
    throw Error({.what = "the model has no chat template", .hint = "run -p PROMPT goes on with a text"});
  }
  return jinja::Template(tokenizer.chat_template());
}

bool ends_with_open_think(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(" \t\r\n");
  return end != std::string_view::npos && prompt.substr(0, end + 1).ends_with("<think>");
}

}  // namespace

ChatSession::ChatSession(const Tokenizer& tokenizer, Json variables)
    : tokenizer_(tokenizer), template_(template_of(tokenizer)), variables_(std::move(variables)) {}

void ChatSession::add_answer(const std::string& text, const std::string& reasoning) {
  Json message{{"role", "assistant"}, {"content", text}};
  if (!reasoning.empty()) message["reasoning_content"] = reasoning;
  messages_.push_back(std::move(message));
}

bool ChatSession::drop_answer() {
  if (messages_.empty() || messages_.back()["role"] != "assistant") return false;
  messages_.pop_back();
  return true;
}

void ChatSession::drop_user() {
  if (!messages_.empty() && messages_.back()["role"] == "user") messages_.pop_back();
}

ChatSession::Json ChatSession::messages() const {
  Json all = Json::array();
  if (!system_.empty()) all.push_back({{"role", "system"}, {"content", system_}});
  for (const Json& message : messages_) all.push_back(message);
  return all;
}

std::string ChatSession::render() const {
  Json input = variables_;
  const auto text_of = [&](std::optional<int32_t> id) {
    return id ? std::string(tokenizer_.piece(*id)) : std::string();
  };
  input["messages"] = messages();
  input["add_generation_prompt"] = true;
  input["bos_token"] = text_of(tokenizer_.bos_id());
  input["eos_token"] = text_of(tokenizer_.eos_id());
  return template_.render(input);
}

ChatSession::Prompt ChatSession::prompt(int64_t max_token) {
  Prompt result;
  for (;;) {
    const std::string text = render();
    result.ids = tokenizer_.encode(text);  // the template writes BOS itself where the model wants it
    result.begins_reasoning = ends_with_open_think(text);
    const auto n = static_cast<int64_t>(result.ids.size());
    if (n <= max_token) return result;
    if (messages_.size() < 2) {
      throw Error({.what = "the message does not fit in the context",
                   .expected = "at most " + std::to_string(max_token) + " tokens with its template",
                   .got = std::to_string(n),
                   .hint = "a larger context: -c"});
    }
    // An exchange is a question and its answer; a question alone where the answer failed.
    messages_.erase(messages_.begin());
    if (messages_.front()["role"] == "assistant") messages_.erase(messages_.begin());
    ++result.n_dropped;
  }
}

}  // namespace sw
