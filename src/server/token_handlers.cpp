// SPDX-License-Identifier: MIT
#include <utility>

#include "server/handlers.h"
#include "server/read_request.h"

namespace sw::server {

void handle_tokenize(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  const RequestFields fields(exchange->request().body, kTokenize);
  const Tokenizer& tokenizer = ready.served.tokenizer;
  const std::vector<int32_t> ids = tokenizer.encode(
      fields.string("content"),
      {.parse_special = fields.boolean("parse_special", true), .add_special = fields.boolean("add_special")});
  if (!fields.boolean("with_pieces")) return respond_json(*exchange, {{"tokens", ids}});
  Json tokens = Json::array();
  for (const int32_t id : ids) tokens.push_back({{"id", id}, {"piece", std::string(tokenizer.piece(id))}});
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
  const RequestFields fields(exchange->request().body, kApplyTemplate);
  const Json kwargs = read_template_variables(fields);
  try {
    const std::string prompt =
        chat_template(ready).render(read_messages(fields.at("messages")), fields.at("tools"), kwargs);
    respond_json(*exchange, {{"prompt", prompt}});
  } catch (const Error& e) {
    throw ApiError(e, "messages");
  }
}

}  // namespace sw::server
