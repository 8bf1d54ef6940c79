// SPDX-License-Identifier: MIT
#pragma once
#include "server/read_request.h"

/// Conversations in other forms than /v1/chat/completions, brought to its form. Throw ApiError.
namespace sw::server {

/// Of /v1/messages: `system` and blocks of text and thinking.
Messages messages_of_anthropic(const RequestFields& fields);
/// Of /v1/responses: `instructions`, and `input` as a text or items.
Messages messages_of_responses(const RequestFields& fields);

}  // namespace sw::server
