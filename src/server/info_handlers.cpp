// SPDX-License-Identifier: MIT
#include <charconv>

#include "server/handlers.h"
#include "server/page.inc"
#include "server/read_request.h"

namespace sw::server {

void respond_json(http::Exchange& exchange, const Json& json) { exchange.respond({.body = dump(json)}); }

void handle_page(Service& /*service*/, const http::ExchangePtr& exchange) {
  exchange->respond({.content_type = "text/html; charset=utf-8",
                     .body = std::string(kPage),
                     .headers = {{"Content-Security-Policy", std::string(kPageSecurityPolicy)},
                                 {"X-Content-Type-Options", "nosniff"},
                                 {"Referrer-Policy", "no-referrer"},
                                 {"Cache-Control", "no-cache"}}});
}

void handle_health(Service& service, const http::ExchangePtr& exchange) {
  const Ready* ready = service.ready_now;
  respond_json(*exchange, {{"status", "ok"}, {"step_age_s", ready ? ready->loop.step_age_s() : 0.0}});
}

void handle_ready(Service& service, const http::ExchangePtr& exchange) {
  const Ready* ready = service.ready_now;
  if (ready && !ready->loop.stopping()) return respond_json(*exchange, {{"status", "ready"}});
  const Json state = ready ? Json{{"status", "draining"}}
                           : Json{{"status", "loading"}, {"progress", service.load_progress.load()}};
  exchange->respond({.status = 503, .body = dump(state), .headers = {{"Retry-After", "1"}}});
}

namespace {

Json model_json(const std::string& name, const Ready& ready) {
  const Model& model = ready.model();
  return {{"id", name},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "switchyard"},
          {"meta",
           {{"n_ctx", ready.engine().n_ctx()},
            {"n_ctx_train", model.hparams().n_ctx_train},
            {"n_vocab", model.hparams().n_vocab},
            {"n_params", model.n_parameters()},
            {"size", model.weight_bytes()}}}};
}

/// Text of a path, its %41 as A.
std::string decode_path(std::string_view path) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    unsigned char byte = 0;
    const char* digits = path.data() + i + 1;
    const bool escaped = path[i] == '%' && i + 2 < path.size() &&
                         std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2;
    out += escaped ? static_cast<char>(byte) : path[i];
    if (escaped) i += 2;
  }
  return out;
}

}  // namespace

void handle_models(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  Json list = Json::array();
  for (const std::string& name : ready.served.names) list.push_back(model_json(name, ready));
  respond_json(*exchange, {{"object", "list"}, {"data", std::move(list)}});
}

void handle_model(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  constexpr std::string_view kFront = "/v1/models/";
  const std::string name = decode_path(std::string_view(exchange->request().path).substr(kFront.size()));
  check_model_name(name, ready);
  respond_json(*exchange, model_json(name, ready));
}

}  // namespace sw::server
