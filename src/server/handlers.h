// SPDX-License-Identifier: MIT
#pragma once
#include "http/http.h"
#include "server/service.h"

/// One function per route. Each answers its exchange, now or later, or throws ApiError or sw::Error.
namespace sw::server {

using Handler = void (*)(Service& service, const http::ExchangePtr& exchange);

void handle_page(Service& service, const http::ExchangePtr& exchange);
void handle_health(Service& service, const http::ExchangePtr& exchange);
void handle_ready(Service& service, const http::ExchangePtr& exchange);
void handle_models(Service& service, const http::ExchangePtr& exchange);
void handle_model(Service& service, const http::ExchangePtr& exchange);
void handle_chat(Service& service, const http::ExchangePtr& exchange);
void handle_completions(Service& service, const http::ExchangePtr& exchange);
void handle_messages(Service& service, const http::ExchangePtr& exchange);
void handle_count_tokens(Service& service, const http::ExchangePtr& exchange);
void handle_responses(Service& service, const http::ExchangePtr& exchange);
void handle_embeddings(Service& service, const http::ExchangePtr& exchange);
void handle_tokenize(Service& service, const http::ExchangePtr& exchange);
void handle_detokenize(Service& service, const http::ExchangePtr& exchange);
void handle_apply_template(Service& service, const http::ExchangePtr& exchange);
void handle_props(Service& service, const http::ExchangePtr& exchange);
void handle_slots(Service& service, const http::ExchangePtr& exchange);
void handle_slot_action(Service& service, const http::ExchangePtr& exchange);
void handle_metrics(Service& service, const http::ExchangePtr& exchange);
void handle_moe(Service& service, const http::ExchangePtr& exchange);
void handle_openapi(Service& service, const http::ExchangePtr& exchange);

/// Throws ApiError (404) where a flag has switched a route off.
void check_on(bool on, const char* flag);
/// Answers with JSON, status 200.
void respond_json(http::Exchange& exchange, const Json& json);

}  // namespace sw::server
