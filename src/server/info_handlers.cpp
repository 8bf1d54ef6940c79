// SPDX-License-Identifier: MIT
#include <ctime>

#include "server/handlers.h"
#include "server/page.inc"

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

void handle_models(Service& service, const http::ExchangePtr& exchange) {
  const Ready& ready = service.ready();
  const Model& model = ready.model();
  Json list = Json::array();
  for (const std::string& name : ready.served.names) {
    list.push_back(Json{{"id", name},
                        {"object", "model"},
                        {"created", 0},
                        {"owned_by", "switchyard"},
                        {"meta",
                         {{"n_ctx", ready.engine().n_ctx()},
                          {"n_ctx_train", model.hparams().n_ctx_train},
                          {"n_vocab", model.hparams().n_vocab},
                          {"n_params", model.n_parameters()},
                          {"size", model.weight_bytes()}}}});
  }
  respond_json(*exchange, {{"object", "list"}, {"data", std::move(list)}});
}

}  // namespace sw::server
