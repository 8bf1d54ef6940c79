// SPDX-License-Identifier: MIT
#include "server/read_tools.h"

#include <fmt/format.h>

namespace sw::server {
namespace {

/// Whether the model may call a tool.
bool may_call(const RequestFields& fields, ToolForm form) {
  const Json& given = fields.at("tool_choice");
  if (given.is_null()) return true;
  const bool has_type = form == ToolForm::Messages && given.contains("type");
  const Json& choice = has_type ? given["type"] : given;
  const bool known = (form != ToolForm::Messages || has_type) && (choice == "auto" || choice == "none");
  if (!known) {
    const bool in_object = form == ToolForm::Messages;
    refuse_field(
        "tool_choice",
        std::string(in_object ? "type auto or none" : "auto or none") + "; calls cannot be forced yet",
        given);
  }
  return choice == "auto";
}

/// A function as chats have it.
Json chat_tool(const Json& tool, ToolForm form, const std::string& where) {
  const char* type = form == ToolForm::Messages ? "custom" : "function";
  const bool is_function = tool.is_object() && (!tool.contains("type") || tool["type"] == type);
  if (!is_function)
    refuse_field(where, fmt::format("a tool of type {}; none runs on the server", type), tool);
  if (form == ToolForm::Chat) {
    const bool has_name = tool.contains("function") && tool["function"].is_object() &&
                          tool["function"].contains("name") && tool["function"]["name"].is_string();
    if (!has_name) refuse_field(where + ".function", "an object with a name", tool);
    return tool;
  }
  if (!tool.contains("name") || !tool["name"].is_string()) refuse_field(where, "a name", tool);
  const char* schema = form == ToolForm::Messages ? "input_schema" : "parameters";
  Json function = {{"name", tool["name"]}};
  if (tool.contains("description")) function["description"] = tool["description"];
  if (tool.contains(schema)) function["parameters"] = tool[schema];
  return {{"type", "function"}, {"function", std::move(function)}};
}

}  // namespace

Json read_tools(RequestFields& fields, ToolForm form) {
  const bool wanted = may_call(fields, form);
  const Json& tools = fields.at("tools");
  if (tools.empty() || !wanted) return nullptr;
  Json out = Json::array();
  for (size_t i = 0; i < tools.size(); ++i)
    out.push_back(chat_tool(tools[i], form, fmt::format("tools[{}]", i)));
  fields.warn("tools", "given to the chat template; calls come as text of the answer");
  return out;
}

}  // namespace sw::server
