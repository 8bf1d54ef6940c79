// SPDX-License-Identifier: MIT
#include "fuzz/request_seeds.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/fields.h"
#include "server/routes.h"

namespace sw::fuzz {
namespace {

using server::Field;
using server::FieldType;
using server::Json;

/// What the endpoints cannot do without, and forms that the table does not tell.
Json sound_value(const std::string& name, unsigned endpoint) {
  static const Json values = Json::parse(R"({
    "messages": [{"role": "user", "content": "Hi"},
                 {"role": "assistant", "content": "Yes", "reasoning_content": "so"},
                 {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}],
    "prompt": ["Once", "The fox"],
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
    "content": "Once upon a time",
    "tokens": [1, 2, 3],
    "stream": true, "stream_options": {"include_usage": true},
    "max_tokens": 8, "max_completion_tokens": 8, "max_output_tokens": 8, "timeout_s": 60,
    "n": 2, "best_of": 2, "seed": 1,
    "stop": ["x", "yy"], "stop_sequences": ["x", "yy"],
    "top_logprobs": 2, "logit_bias": {"3": -100, "4": 1.5},
    "moe": {"experts_prefill": [[0, 1, 2]], "experts_decode": 1, "grouped": true, "threshold": [1, 0.2],
            "mask": {"1": [0, 1]}},
    "response_format": {"type": "text"}, "text": {"format": {"type": "text"}}, "output_config": {},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto", "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false},
    "system": [{"type": "text", "text": "Be kind."}], "instructions": "Be kind.",
    "thinking": {"type": "disabled"}, "encoding_format": "base64"})");
  if (endpoint == server::kEmbeddings && name == "input") return Json::array({"a fox", "a ship"});
  if (endpoint == server::kResponses && name == "tools")
    return Json::parse(R"([{"type": "function", "name": "f", "parameters": {}}])");
  const bool anthropic = endpoint == server::kMessages || endpoint == server::kCountTokens;
  if (anthropic && name == "tools") return Json::parse(R"([{"name": "f", "input_schema": {}}])");
  if (anthropic && name == "tool_choice") return Json::parse(R"({"type": "auto"})");
  if (endpoint == server::kCompletions && name == "logprobs") return 2;
  return values.value(name, Json());
}

/// A field with a value that is fine; null where none is or the field had better be absent.
Json value_of(const Field& field, unsigned endpoint) {
  if (field.type == FieldType::Unsupported) return nullptr;
  Json value = sound_value(field.name, endpoint);
  if (!value.is_null()) return value;
  const bool number = field.type == FieldType::Integer || field.type == FieldType::Number;
  if (number && field.name != "dimensions") return std::clamp(1.0, field.low, field.high);
  if (field.type == FieldType::Boolean && field.name != "background") return field.name != "echo";
  return nullptr;
}

}  // namespace

void make_request_seeds(const SeedSink& sink) {
  for (const server::Route& route : server::routes()) {
    if (route.endpoint == 0) continue;
    Json least = Json::object(), most = Json::object();
    for (const Field& field : server::request_fields()) {
      if ((field.endpoints & route.endpoint) == 0) continue;
      const Json value = value_of(field, route.endpoint);
      if (field.fallback.empty() || field.name.starts_with("max_")) least[field.name] = value;
      if (!value.is_null()) most[field.name] = value;
    }
    std::string name = route.path;
    std::ranges::replace(name, '/', '-');
    sink("least" + name, fmt::format("{}\n{}", route.path, server::dump(least)));
    sink("most" + name, fmt::format("{}\n{}", route.path, server::dump(most)));
  }
  const std::pair<const char*, const char*> more[] = {{"ids", R"(/v1/completions
{"prompt": [[1, 2], [3]], "max_tokens": 4, "echo": true, "moe": {"experts": 3}})"},
                                                      {"text", R"(/v1/responses
{"input": "Hi", "stream": true, "max_output_tokens": 4})"},
                                                      {"thinking", R"(/v1/messages
{"max_tokens": 4, "system": "Be kind.", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content":
[{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "Yes"}]}, {"role": "user", "content": "Go on"}]})"},
                                                      {"routing", R"(/v1/chat/completions
{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "logprobs": true, "moe": {"return_routing": true}})"}};
  for (const auto& [name, bytes] : more) sink(name, bytes);
}

void make_http_seeds(const SeedSink& sink) {
  const std::string head = "Host: localhost\r\n", body = "{\"content\": \"a\"}";
  const std::string json =
      fmt::format("{}Authorization: Bearer key\r\nContent-Type: application/json\r\n", head);
  const std::string length = fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
  const std::pair<const char*, std::string> seeds[] = {
      {"get", "GET /health HTTP/1.1\r\n" + head + "\r\n"},
      {"page", "GET / HTTP/1.1\r\n" + head + "Accept: text/html\r\n\r\n"},
      {"post", "POST /tokenize HTTP/1.1\r\n" + json + length},
      {"chunks", "POST /echo?a=b HTTP/1.1\r\n" + json +
                     "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"},
      {"continue", "POST /echo HTTP/1.1\r\n" + json + "Expect: 100-continue\r\n" + length},
      {"stream", "POST /stream HTTP/1.1\r\n" + json + length},
      {"old", "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
      {"head", "HEAD /ready HTTP/1.1\r\n" + head + "\r\n"},
      {"preflight", "OPTIONS /v1/models HTTP/1.1\r\n" + head +
                        "Origin: http://friend\r\nAccess-Control-Request-Method: POST\r\n"
                        "Access-Control-Request-Headers: authorization, x-stainless-os\r\n\r\n"},
      {"absolute", "GET http://localhost:80/v1/models/a%20b HTTP/1.1\r\n" + head + "X-Api-Key: key\r\n\r\n"},
      {"several", "GET /health HTTP/1.1\r\n" + head + "\r\nPOST /echo HTTP/1.1\r\n" + json + length +
                      "HEAD /echo HTTP/1.1\r\n" + head + "\r\nGET /drop HTTP/1.1\r\n" + head + "\r\n"},
  };
  for (const auto& [name, text] : seeds) {
    for (char manner = 0; manner < 16; ++manner) sink(fmt::format("{}-{}", name, int{manner}), manner + text);
  }
}

}  // namespace sw::fuzz
