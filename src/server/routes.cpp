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
    {"GET", "/v1/models/{model}", Access::Keyed, handle_model, false, 0, "the same, by one of its names"},
    {"POST", "/v1/chat/completions", Access::Keyed, handle_chat, true, kChat,
     "the next message of a conversation"},
    {"POST", "/v1/completions", Access::Keyed, handle_completions, true, kCompletions,
     "the continuation of a text"},
    {"POST", "/v1/messages", Access::Keyed, handle_messages, true, kMessages,
     "the same for Anthropic's clients"},
    {"POST", "/v1/messages/count_tokens", Access::Keyed, handle_count_tokens, false, kCountTokens,
     "tokens of a conversation"},
    {"POST", "/v1/responses", Access::Keyed, handle_responses, true, kResponses,
     "the next message, as OpenAI's newer clients ask for it"},
    {"POST", "/v1/embeddings", Access::Keyed, handle_embeddings, true, kEmbeddings, "texts as vectors"},
    {"POST", "/tokenize", Access::Keyed, handle_tokenize, false, kTokenize, "a text as token ids"},
    {"POST", "/detokenize", Access::Keyed, handle_detokenize, false, kDetokenize, "token ids as a text"},
    {"POST", "/apply-template", Access::Keyed, handle_apply_template, false, kApplyTemplate,
     "messages as the prompt that the model sees"},
    {"GET", "/props", Access::Keyed, handle_props, false, 0, "settings, limits and the model's routers"},
    {"GET", "/slots", Access::Keyed, handle_slots, true, 0, "what runs now, without its text"},
    {"POST", "/slots/{id}", Access::Keyed, handle_slot_action, true, kSlotAction,
     "?action=save, restore or erase: what ran there last, to and from a file"},
    {"GET", "/metrics", Access::Keyed, handle_metrics, true, 0, "counters and histograms for Prometheus"},
    {"GET", "/v1/moe", Access::Keyed, handle_moe, true, 0, "which experts were chosen; ?stream=true: live"},
    {"GET", "/openapi.json", Access::Keyed, handle_openapi, false, 0, "this description"},
};

/// Whether a path is the route's, or begins like one that ends with a variable.
bool matches(std::string_view route, std::string_view path) {
  if (!route.ends_with('}')) return path == route;
  const std::string_view front = route.substr(0, route.find('{'));
  return path.size() > front.size() && path.starts_with(front);
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

std::string methods_of(std::string_view path) {
  std::string methods;
  for (const Route& route : kRoutes) {
    if (matches(route.path, path)) methods += (methods.empty() ? "" : ", ") + std::string(route.method);
  }
  return methods;
}

const Route& find_route(std::string_view method, std::string_view path) {
  for (const Route& route : kRoutes) {
    if (!matches(route.path, path)) continue;
    if (method == route.method || (method == "HEAD" && route.method == std::string_view("GET"))) return route;
  }
  const std::string methods = methods_of(path), shown = printable(std::string(path), 80);
  if (methods.empty())
    throw ApiError(
        {.status = 404, .message = fmt::format("there is no {} here", shown), .code = "not_found"});
  throw ApiError(
      {.status = 405,
       .message = fmt::format("{} takes {}, not {}", shown, methods, printable(std::string(method), 16)),
       .code = "method_not_allowed"});
}

}  // namespace sw::server
