// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "chat/chat_template.h"

namespace sw {

/// A conversation with one person, and the prompt that it makes. Borrows the tokenizer.
class ChatSession {
 public:
  using Json = ChatTemplate::Json;
  /// `kwargs`: further template variables, an object; `template_name` as ChatTemplate has it. Throws
  /// sw::Error where the model has no such template.
  ChatSession(const Tokenizer& tokenizer, Json kwargs = Json::object(),
              const std::string& template_name = {});

  /// Empty: no system message.
  void set_system(std::string text) { system_ = std::move(text); }
  void add_user(const std::string& text) { messages_.push_back({{"role", "user"}, {"content", text}}); }
  void add_answer(const std::string& text, const std::string& reasoning);
  /// Takes the last answer back. False where the last message is none.
  bool drop_answer();
  /// Takes the last user message back (an answer that failed).
  void drop_user();
  /// Forgets all but the system message.
  void reset() { messages_.clear(); }
  bool empty() const { return messages_.empty(); }

  /// Tokens that a prompt may have.
  struct PromptRoom {
    int64_t wanted = 0;  ///< exchanges go until it has no more
    int64_t most = 0;    ///< what the last message alone may take
  };
  struct Fitted {
    ChatPrompt prompt = {};
    int n_dropped = 0;  ///< exchanges left out, oldest first, to make room
  };
  /// The prompt for the next answer; forgets the oldest exchanges to make it short enough. Throws sw::Error
  /// where even the last message alone does not fit. Cost: one rendering for each exchange that goes, and
  /// one.
  Fitted fit_prompt(const PromptRoom& room);
  /// Forgets the oldest exchange. False where no other message would be left.
  bool drop_oldest();
  /// The conversation as JSON messages, the system message first.
  Json messages() const;

 private:
  ChatTemplate template_;
  Json kwargs_;
  std::string system_;
  std::vector<Json> messages_;
};

/// Takes the oldest exchange away: a question and its answer, or a question alone where the answer failed.
/// False, and nothing changed, where no other message would be left.
bool drop_oldest_exchange(std::vector<ChatTemplate::Json>& messages);

}  // namespace sw
