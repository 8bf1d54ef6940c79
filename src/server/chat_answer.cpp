// SPDX-License-Identifier: MIT
#include <utility>

#include "server/moe_json.h"
#include "server/openai_answer.h"

namespace sw::server {
namespace {

/// As /v1/chat/completions of OpenAI.
class ChatAnswer : public OpenAiAnswer {
 public:
  using OpenAiAnswer::OpenAiAnswer;

 protected:
  Json head(bool is_chunk) const override {
    return {{"id", "chatcmpl-" + setup().exchange->request().id.substr(4)},
            {"object", is_chunk ? "chat.completion.chunk" : "chat.completion"},
            {"created", created()},
            {"model", setup().model}};
  }
  Json first_choice(size_t index) const override {
    return choice(index, {{"role", "assistant"}, {"content", ""}});
  }
  Json empty_choice(size_t index) const override { return choice(index, Json::object()); }
  Json whole_choice(size_t index) const override {
    const Collected& c = choices()[index];
    Json message = {{"role", "assistant"}, {"content", c.text}};
    if (!c.reasoning.empty()) message["reasoning_content"] = c.reasoning;
    Json one = {{"index", index}, {"message", std::move(message)}, {"logprobs", nullptr}};
    add_tokens(one, c.tokens);
    return one;
  }
  void send_piece(size_t index, const Piece& piece) override {
    Json delta = Json::object();
    if (!piece.reasoning.empty()) delta["reasoning_content"] = piece.reasoning;
    if (!piece.text.empty()) delta["content"] = piece.text;
    Json one = choice(index, std::move(delta));
    add_tokens(one, piece.tokens);
    send_data(chunk(std::move(one)));
  }

 private:
  static Json choice(size_t index, Json delta) {
    return {{"index", index}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }
  void add_tokens(Json& one, const std::vector<TokenChoice>& tokens) const {
    if (setup().logprobs) one["logprobs"] = chat_logprobs(tokens, tokenizer());
    if (setup().routing) one["routing"] = routing_json(tokens, tokenizer());
  }
};

}  // namespace

std::shared_ptr<Sink> make_chat_answer(AnswerSetup setup) {
  return std::make_shared<ChatAnswer>(std::move(setup));
}

}  // namespace sw::server
