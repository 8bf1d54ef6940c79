// SPDX-License-Identifier: MIT
#include "server/foreign_messages.h"

#include <fmt/format.h>

namespace sw::server {
namespace {

/// A message whose thinking blocks became its reasoning.
Json read_blocks(const Json& message, const std::string& where) {
  if (!message.is_object() || !message.contains("content") || !message["content"].is_array()) return message;
  Json out = message;
  Json parts = Json::array();
  std::string reasoning;
  for (const Json& block : message["content"]) {
    const bool thinks = block.is_object() && block.contains("type") && block["type"] == "thinking";
    if (!thinks) {
      parts.push_back(block);
    } else if (!block.contains("thinking") || !block["thinking"].is_string()) {
      refuse_field(where + ".content", "thinking as a string", block);
    } else {
      reasoning += block["thinking"].get<std::string>();
    }
  }
  out["content"] = std::move(parts);
  if (!reasoning.empty()) out["reasoning_content"] = reasoning;
  return out;
}

}  // namespace

Json messages_of_anthropic(const RequestFields& fields) {
  Json out = Json::array();
  if (fields.has("system")) out.push_back({{"role", "system"}, {"content", fields.at("system")}});
  const Json& messages = fields.at("messages");
  for (size_t i = 0; i < messages.size(); ++i)
    out.push_back(read_blocks(messages[i], fmt::format("messages[{}]", i)));
  return out;
}

Json messages_of_responses(const RequestFields& fields) {
  Json out = Json::array();
  if (fields.has("instructions")) out.push_back({{"role", "system"}, {"content", fields.at("instructions")}});
  const Json& input = fields.at("input");
  if (input.is_string()) {
    out.push_back({{"role", "user"}, {"content", input}});
    return out;
  }
  if (!input.is_array()) refuse_field("input", "a text or a list of messages", input);
  for (size_t i = 0; i < input.size(); ++i) {
    const Json& item = input[i];
    const bool is_reasoning = item.is_object() && item.contains("type") && item["type"] == "reasoning";
    if (is_reasoning) continue;  // of an earlier answer; templates leave it out too
    const bool is_message = item.is_object() && (!item.contains("type") || item["type"] == "message");
    if (!is_message) refuse_field(fmt::format("input[{}]", i), "a message", item);
    Json message = Json::object();
    for (const char* name : {"role", "content"}) {
      if (item.contains(name)) message[name] = item[name];
    }
    out.push_back(std::move(message));
  }
  return out;
}

}  // namespace sw::server
