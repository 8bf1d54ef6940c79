// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "jinja/template.h"
#include "tokenizer/tokenizer.h"

namespace sw {

/// A conversation and the prompt that it makes through the model's chat template.
class ChatSession {
 public:
  using Json = nlohmann::ordered_json;
  /// `variables`: further template variables, an object. Throws sw::Error where the model has no template.
  ChatSession(const Tokenizer& tokenizer, Json variables = Json::object());

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

  struct Prompt {
    std::vector<int32_t> ids = {};
    bool begins_reasoning = false;  ///< the template itself opened <think>
    int n_dropped = 0;              ///< exchanges left out, oldest first, to make room
  };
  /// The prompt for the next answer, of at most `max_token` tokens. Throws sw::Error where even the last
  /// message alone does not fit.
  Prompt prompt(int64_t max_token);
  /// The conversation as JSON messages, the system message first.
  Json messages() const;

 private:
  std::string render() const;

  const Tokenizer& tokenizer_;
  jinja::Template template_;
  Json variables_;
  std::string system_;
  std::vector<Json> messages_;
};

}  // namespace sw
