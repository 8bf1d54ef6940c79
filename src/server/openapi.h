// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "server/json.h"

namespace sw::server {

/// The description of all routes and request fields, made of the tables that requests are checked by; OpenAPI
/// 3.1.
Json openapi(const std::string& version);

}  // namespace sw::server
