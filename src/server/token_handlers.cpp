// SPDX-License-Identifier: MIT
#include <utility>

#include "server/handlers.h"
#include "server/read_request.h"
#include "server/read_tools.h"
#include "text/utf8.h"

namespace sw::server {
namespace {

/// A text, or bytes where a piece is part of a character: replaced by U+FFFD, different pieces would be
/// alike.
Json piece_json(std::string_view piece) {
  if (valid_utf8_prefix(piece) == piece.size()) return std::string(piece);
  return bytes_json(piece);
}

}  // namespace

void handle_tokenize(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  const RequestFields fields(exchange->request().body, kTokenize);
  const Tokenizer& tokenizer = ready.served.tokenizer;
  const std::vector<int32_t> ids = tokenizer.encode(
      fields.string("content"),
      {.parse_special = fields.boolean("parse_special", true), .add_special = fields.boolean("add_special")});
  if (!fields.boolean("with_pieces")) return respond_json(*exchange, {{"tokens", ids}});
  Json tokens = Json::array();
  for (const int32_t id : ids) tokens.push_back({{"id", id}, {"piece", piece_json(tokenizer.piece(id))}});
  respond_json(*exchange, {{"tokens", std::move(tokens)}});
}

void handle_detokenize(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  const RequestFields fields(exchange->request().body, kDetokenize);
  const std::vector<int32_t> ids = read_ids(fields.at("tokens"), ready.served.tokenizer.n_vocab(), "tokens");
  respond_json(*exchange, {{"content", ready.served.tokenizer.decode(ids)}});
}

void handle_apply_template(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  RequestFields fields(exchange->request().body, kApplyTemplate);
  const Json tools = read_tools(fields, ToolForm::Chat);
  const Json kwargs = read_template_variables(fields);
  try {
    const std::string prompt =
        chat_template(ready).render(read_messages(messages_of_chat(fields)), tools, kwargs);
    respond_json(*exchange, {{"prompt", prompt}});
  } catch (const Error& e) {
    throw ApiError(e, "messages");
  }
}

}  // namespace sw::server
