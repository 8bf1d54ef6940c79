// SPDX-License-Identifier: MIT
#include "server/dispatch.h"

#include <optional>
#include <utility>

#include "server/access.h"
#include "server/answer.h"
#include "server/routes.h"

namespace sw::server {
namespace {

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

void dispatch(Service& service, const http::ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  bool logs_itself = false;  // an answer that comes later
  try {
    for (http::Header& header : cors_headers(service.options, request))
      exchange->add_header(std::move(header));
    check_host_and_origin(service.options, request);
    if (request.method == "OPTIONS") {
      answer_preflight(*exchange);
    } else {
      const Route& route = find_route(request.method, request.path);
      const std::optional<size_t> key = find_key(service.options, route.access, request);
      if (route.endpoint != 0) check_content_type(request);
      if (route.answers_later && route.endpoint != 0 && key) exchange->hold(service.key_limits.take(*key));
      route.handler(service, exchange);
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

}  // namespace sw::server
