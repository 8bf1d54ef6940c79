// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "server/answer.h"
#include "server/moe_json.h"
#include "text/utf8.h"

namespace sw::server {
namespace {

int64_t count_characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

/// A piece as a member's name: one that is no UTF-8 as bytes:\xe2\x80, as OpenAI writes it.
std::string key_of(std::string_view piece) {
  if (valid_utf8_prefix(piece) == piece.size()) return std::string(piece);
  std::string key = "bytes:";
  for (const char c : piece) key += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return key;
}

/// As /v1/completions of OpenAI.
class CompletionAnswer : public Answer {
 public:
  explicit CompletionAnswer(AnswerSetup made_with)
      : Answer(std::move(made_with)), offsets_(setup().n_choice) {
    for (size_t i = 0; i < setup().echoes.size(); ++i) offsets_[i] = count_characters(setup().echoes[i]);
  }

 protected:
  void open() override {
    for (size_t i = 0; i < setup().n_choice; ++i) {
      Json json = chunk(choice(i, echo(i)));
      if (i == 0) add_extras(json);
      send_data(json);
    }
  }
  void on_progress(const PromptProgress& p) override {
    Json json = chunk(choice(0, ""));
    json["prompt_progress"] = {
        {"total", p.n_prompt}, {"cache", p.n_cached}, {"processed", p.n_processed}, {"time_ms", p.ms}};
    send_data(json);
  }
  void send_piece(size_t index, const Piece& piece) override {
    Json one = choice(index, piece.text);
    add_tokens(one, piece.tokens, offsets_[index]);
    send_data(chunk(std::move(one)));
  }
  void send_finish(size_t index, const Collected& collected, const Usage* usage) override {
    Json one = choice(index, "");
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
    Json json = chunk(Json::object());
    json["choices"] = Json::array();
    for (size_t i = 0; i < choices().size(); ++i) {
      const Collected& c = choices()[i];
      Json one = choice(i, echo(i) + c.text);
      int64_t offset = offsets_[i];
      add_tokens(one, c.tokens, offset);
      one["finish_reason"] = openai_reason(c.reason);
      json["choices"].push_back(std::move(one));
    }
    json["usage"] = usage_json(usage);
    add_timings(json, usage);
    add_extras(json);
    return json;
  }

 private:
  std::string echo(size_t index) const { return setup().echoes.empty() ? "" : setup().echoes[index]; }
  Json chunk(Json one) const {
    Json json = {{"id", "cmpl-" + setup().exchange->request().id.substr(4)},
                 {"object", "text_completion"},
                 {"created", created()},
                 {"model", setup().model},
                 {"choices", Json::array({std::move(one)})}};
    if (setup().stream && setup().include_usage) json["usage"] = nullptr;  // but in the last
    return json;
  }
  static Json choice(size_t index, const std::string& text) {
    return {{"index", index}, {"text", text}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }
  /// Moves `offset`, in characters, behind the tokens.
  void add_tokens(Json& one, const std::vector<TokenChoice>& tokens, int64_t& offset) const {
    if (setup().routing) one["routing"] = routing_json(tokens, tokenizer());
    if (!setup().logprobs) return;
    Json& json = one["logprobs"];
    json = {{"tokens", Json::array()},
            {"token_logprobs", Json::array()},
            {"top_logprobs", Json::array()},
            {"text_offset", Json::array()}};
    for (const TokenChoice& token : tokens) {
      const std::string_view piece = tokenizer().piece(token.id);
      json["tokens"].push_back(key_of(piece));
      json["token_logprobs"].push_back(in_short(token.logprob));
      json["text_offset"].push_back(offset);
      offset += count_characters(piece);
      json["top_logprobs"].push_back(top_json(token));
    }
  }
  /// The most probable tokens, and the chosen one if it is not among them. Of tokens with the same text the
  /// most probable counts.
  Json top_json(const TokenChoice& token) const {
    Json top = Json::object();
    const auto add = [&](int32_t id, float logprob) {
      const std::string key = key_of(tokenizer().piece(id));
      if (!top.contains(key)) top[key] = in_short(logprob);
    };
    for (const auto& t : token.top) add(t.id, t.logprob);
    add(token.id, token.logprob);
    return top;
  }

  std::vector<int64_t> offsets_;
};

}  // namespace

std::shared_ptr<Sink> make_completion_answer(AnswerSetup setup) {
  return std::make_shared<CompletionAnswer>(std::move(setup));
}

}  // namespace sw::server
