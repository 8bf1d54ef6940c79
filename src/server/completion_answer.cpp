// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "server/moe_json.h"
#include "server/openai_answer.h"
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
class CompletionAnswer : public OpenAiAnswer {
 public:
  explicit CompletionAnswer(AnswerSetup made_with)
      : OpenAiAnswer(std::move(made_with)), offsets_(setup().n_choice) {
    for (size_t i = 0; i < setup().echoes.size(); ++i) offsets_[i] = count_characters(setup().echoes[i]);
  }

 protected:
  Json head(bool /*is_chunk*/) const override {
    return {{"id", "cmpl-" + setup().exchange->request().id.substr(4)},
            {"object", "text_completion"},
            {"created", created()},
            {"model", setup().model}};
  }
  Json first_choice(size_t index) const override { return choice(index, echo(index)); }
  Json empty_choice(size_t index) const override { return choice(index, ""); }
  Json whole_choice(size_t index) const override {
    const Collected& c = choices()[index];
    Json one = choice(index, echo(index) + c.text);
    int64_t offset = offsets_[index];
    add_tokens(one, c.tokens, offset);
    return one;
  }
  void send_piece(size_t index, const Piece& piece) override {
    Json one = choice(index, piece.text);
    add_tokens(one, piece.tokens, offsets_[index]);
    send_data(chunk(std::move(one)));
  }

 private:
  std::string echo(size_t index) const { return setup().echoes.empty() ? "" : setup().echoes[index]; }
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
