// SPDX-License-Identifier: MIT
#include <utility>

#include "server/answer.h"
#include "server/moe_json.h"

namespace sw::server {
namespace {

/// As /v1/chat/completions of OpenAI.
class ChatAnswer : public Answer {
 public:
  using Answer::Answer;

 protected:
  void open() override {
    for (size_t i = 0; i < setup().n_choice; ++i) {
      Json json = chunk(choice(i, {{"role", "assistant"}, {"content", ""}}));
      if (i == 0) add_extras(json);
      send_data(json);
    }
  }
  void on_progress(const PromptProgress& p) override {
    Json json = chunk(choice(0, Json::object()));
    json["prompt_progress"] = {
        {"total", p.n_prompt}, {"cache", p.n_cached}, {"processed", p.n_processed}, {"time_ms", p.ms}};
    send_data(json);
  }
  void send_piece(size_t index, const Piece& piece) override {
    Json delta = Json::object();
    if (!piece.reasoning.empty()) delta["reasoning_content"] = piece.reasoning;
    if (!piece.text.empty()) delta["content"] = piece.text;
    Json one = choice(index, std::move(delta));
    add_tokens(one, piece.tokens);
    send_data(chunk(std::move(one)));
  }
  void send_finish(size_t index, const Collected& collected, const Usage* usage) override {
    Json one = choice(index, Json::object());
    one["finish_reason"] = openai_reason(collected.reason);
    Json json = chunk(std::move(one));
    if (usage) add_timings(json, *usage);
    send_data(json);
  }
  void close(const Usage& usage) override {
    if (setup().include_usage) {
      Json json = chunk(Json::object());
      json["choices"] = Json::array();
      json["usage"] = usage_json(usage);
      send_data(json);
    }
    send_raw("data: [DONE]\n\n");
  }
  Json whole(const Usage& usage) const override {
    Json json = head("chat.completion");
    json["choices"] = Json::array();
    for (size_t i = 0; i < choices().size(); ++i) {
      const Collected& c = choices()[i];
      Json message = {{"role", "assistant"}, {"content", c.text}};
      if (!c.reasoning.empty()) message["reasoning_content"] = c.reasoning;
      Json one = {{"index", i}, {"message", std::move(message)}, {"logprobs", nullptr}};
      add_tokens(one, c.tokens);
      one["finish_reason"] = openai_reason(c.reason);
      json["choices"].push_back(std::move(one));
    }
    json["usage"] = usage_json(usage);
    add_timings(json, usage);
    add_extras(json);
    return json;
  }

 private:
  Json head(const char* object) const {
    return {{"id", "chatcmpl-" + setup().exchange->request().id.substr(4)},
            {"object", object},
            {"created", created()},
            {"model", setup().model}};
  }
  Json chunk(Json one) const {
    Json json = head("chat.completion.chunk");
    json["choices"] = Json::array({std::move(one)});
    if (setup().include_usage) json["usage"] = nullptr;  // but in the last
    return json;
  }
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
