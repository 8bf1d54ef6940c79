// SPDX-License-Identifier: MIT
#include "chat/chat_session.h"

#include <utility>

#include "base/error.h"

namespace sw {

ChatSession::ChatSession(const Tokenizer& tokenizer, Json kwargs, const std::string& template_name)
    : template_(tokenizer, template_name), kwargs_(std::move(kwargs)) {}

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

bool ChatSession::drop_oldest() { return drop_oldest_exchange(messages_); }

ChatSession::Fitted ChatSession::fit_prompt(const PromptRoom& room) {
  for (Fitted result;; ++result.n_dropped) {
    result.prompt = template_.prompt(messages(), nullptr, kwargs_);
    const auto n = static_cast<int64_t>(result.prompt.ids.size());
    if (n <= room.wanted) return result;
    if (!drop_oldest()) {
      if (n <= room.most) return result;
      throw Error({.what = "the message does not fit in the context",
                   .expected = "at most " + std::to_string(room.most) + " tokens with its template",
                   .got = std::to_string(n),
                   .hint = "a larger context: -c"});
    }
  }
}

bool drop_oldest_exchange(std::vector<ChatTemplate::Json>& messages) {
  const bool answered = messages.size() > 1 && messages[1]["role"] == "assistant";
  const size_t n = answered ? 2 : 1;
  if (messages.size() <= n) return false;
  messages.erase(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(n));
  return true;
}

}  // namespace sw
