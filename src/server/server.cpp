// SPDX-License-Identifier: MIT
#include "server/server.h"

#include <utility>

#include "base/log.h"
#include "server/access.h"
#include "server/answer.h"
#include "server/routes.h"

namespace sw::server {
namespace {

// After the last answer is made, it still has to reach a slow client.
constexpr http::Seconds kSendTime{2};

http::Response refused(int status, std::string_view why) {
  const char* code = status == 413   ? "body_too_large"
                     : status == 431 ? "headers_too_large"
                     : status == 408 ? "request_timeout"
                     : status == 503 ? "too_busy"
                                     : "bad_request";
  return ApiError({.status = status,
                   .message = std::string(why),
                   .code = code,
                   .retry_after_s = status == 503 ? 1 : 0})
      .response();
}

/// What the page wants to send, as far as it is names of headers: clients have many of their own, and keys
/// and types of bodies are checked whoever sends them.
std::string allowed_headers(const http::Request& request) {
  std::string names;
  for (const char c : request.header("access-control-request-headers")) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || std::string_view("!#$%&'*+-.^_`|~, ").find(c) != std::string_view::npos) names += c;
  }
  return names.empty() ? "authorization, content-type, x-api-key" : names;
}

/// A browser asks before it lets a page of another site call.
void answer_preflight(http::Exchange& exchange) {
  exchange.add_header({"Access-Control-Allow-Methods", "GET, POST"});
  exchange.add_header({"Access-Control-Allow-Headers", allowed_headers(exchange.request())});
  exchange.add_header({"Access-Control-Max-Age", "600"});
  exchange.respond({.status = 204});
}

}  // namespace

Server::Server(ServerOptions options) : service_(std::move(options)) {
  check_binding(service_.options, service_.options.may_be_open);
  http_ = std::make_unique<http::Server>(
      service_.options.http,
      http::Handlers{.on_request = [this](const http::ExchangePtr& exchange) { on_request(exchange); },
                     .on_refused = refused,
                     .on_gone =
                         [this] {
                           service_.metrics.count_disconnect();
                           if (Ready* ready = service_.ready_now) ready->loop.wake();
                         }});
}

Server::~Server() = default;

uint16_t Server::port() const { return http_->port(); }

void Server::set_load_progress(uint64_t done, uint64_t total) {
  if (total > 0) service_.load_progress = static_cast<double>(done) / static_cast<double>(total);
}

void Server::on_request(const http::ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  bool logs_itself = false;  // an answer that comes later
  try {
    for (http::Header& header : cors_headers(service_.options, request))
      exchange->add_header(std::move(header));
    check_host_and_origin(service_.options, request);
    if (request.method == "OPTIONS") {
      answer_preflight(*exchange);
    } else {
      const Route& route = find_route(request.method, request.path);
      check_key(service_.options, route.access, request);
      if (route.endpoint != 0) check_content_type(request);
      route.handler(service_, exchange);
      logs_itself = route.answers_later;
    }
  } catch (...) {
    http::Response error = current_error(request.id).response();
    if (error.status == 401) error.headers.push_back({"WWW-Authenticate", "Bearer"});
    if (error.status == 405) error.headers.push_back({"Allow", methods_of(request.path)});
    exchange->respond(std::move(error));
  }
  if (!logs_itself) log_request(*exchange);
}

void Server::serve(const ServedModel& model) {
  ready_ = std::make_unique<Ready>(model, service_.options, service_.metrics);
  service_.ready_now = ready_.get();
  ready_->loop.run();
  ready_->slots.finish();
  http_->close_idle();
  http_->wait_until_sent(kSendTime);
  http_.reset();  // waits for handlers, which use the model
}

bool Server::stop() {
  Ready* ready = service_.ready_now;
  if (!ready) return false;
  ready->loop.stop();
  return true;
}

}  // namespace sw::server
