// SPDX-License-Identifier: MIT
#include "server/routes.h"

#include <fmt/format.h>

#include "server/api_error.h"
#include "server/fields.h"

namespace sw::server {
namespace {

constexpr Route kRoutes[] = {
    {"GET", "/", Access::Local, handle_page, false, 0, "the web page"},
    {"GET", "/health", Access::Open, handle_health, false, 0, "whether the process lives"},
    {"GET", "/ready", Access::Open, handle_ready, false, 0, "whether the model is loaded, or how far"},
    {"GET", "/v1/models", Access::Keyed, handle_models, false, 0, "the model that is served"},
    {"POST", "/v1/chat/completions", Access::Keyed, handle_chat, true, kChat,
     "the next message of a conversation"},
    {"POST", "/v1/completions", Access::Keyed, handle_completions, true, kCompletions,
     "the continuation of a text"},
};

}  // namespace

std::span<const Route> routes() { return kRoutes; }

const Route& find_route(std::string_view method, std::string_view path) {
  std::string methods;
  for (const Route& route : kRoutes) {
    if (path != route.path) continue;
    if (method == route.method || (method == "HEAD" && route.method == std::string_view("GET"))) return route;
    methods += (methods.empty() ? "" : ", ") + std::string(route.method);
  }
  const std::string shown = printable(std::string(path), 80);
  if (methods.empty())
    throw ApiError(
        {.status = 404, .message = fmt::format("there is no {} here", shown), .code = "not_found"});
  throw ApiError(
      {.status = 405,
       .message = fmt::format("{} takes {}, not {}", shown, methods, printable(std::string(method), 16)),
       .code = "method_not_allowed"});
}

}  // namespace sw::server
