// SPDX-License-Identifier: MIT
#include "server/foreign_messages.h"

#include <fmt/format.h>
#include <utility>

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

void add(Messages& messages, const std::string& name, Json message) {
  messages.list.push_back(std::move(message));
  messages.names.push_back(name);
}

}  // namespace

Messages messages_of_anthropic(const RequestFields& fields) {
  Messages out;
  const Json& messages = fields.at("messages");
  if (messages.empty()) return out;
  if (fields.has("system")) add(out, "system", {{"role", "system"}, {"content", fields.at("system")}});
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string name = fmt::format("messages[{}]", i);
    add(out, name, read_blocks(messages[i], name));
  }
  return out;
}

Messages messages_of_responses(const RequestFields& fields) {
  Messages out{.field = "input"};
  const Json& input = fields.at("input");
  if (!input.is_string() && !input.is_array()) refuse_field("input", "a text or a list of messages", input);
  if (input.empty()) return out;
  if (fields.has("instructions"))
    add(out, "instructions", {{"role", "system"}, {"content", fields.at("instructions")}});
  if (input.is_string()) {
    add(out, "input", {{"role", "user"}, {"content", input}});
    return out;
  }
  for (size_t i = 0; i < input.size(); ++i) {
    const Json& item = input[i];
    const std::string name = fmt::format("input[{}]", i);
    const bool is_reasoning = item.is_object() && item.contains("type") && item["type"] == "reasoning";
    if (is_reasoning) continue;  // of an earlier answer; templates leave it out too
    const bool is_message = item.is_object() && (!item.contains("type") || item["type"] == "message");
    if (!is_message) refuse_field(name, "a message", item);
    Json message = Json::object();
    for (const char* member : {"role", "content"}) {
      if (item.contains(member)) message[member] = item[member];
    }
    add(out, name, std::move(message));
  }
  return out;
}

}  // namespace sw::server
