// SPDX-License-Identifier: MIT
#pragma once
#include "server/fields.h"

namespace sw::server {

/// How an API writes a tool down.
enum class ToolForm : uint8_t {
  Chat,       ///< {"type": "function", "function": {"name", "description", "parameters"}}
  Responses,  ///< {"type": "function", "name", "description", "parameters"}
  Messages,   ///< {"name", "description", "input_schema"}
};

/// A request's tools in the form of chats, which templates expect; null where there are none or tool_choice
/// is none. Warns that calls come as text. Throws ApiError where tool_choice forces a call, which cannot be
/// promised, and on tools that are no functions of the client.
Json read_tools(RequestFields& fields, ToolForm form);

}  // namespace sw::server
