// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "server/handlers.h"

namespace sw::server {

/// Who may call a route where the server has keys.
enum class Access : uint8_t {
  Open,   ///< everybody
  Local,  ///< everybody, while the server listens on loopback alone
  Keyed,
};

struct Route {
  const char* method;
  const char* path;
  Access access;
  Handler handler;
  bool answers_later;  ///< its answer comes from the engine's thread and is logged there
  unsigned endpoint;   ///< the request's fields in the table; 0: it has no body
  const char* help;
};

std::span<const Route> routes();

/// "GET" or "POST", or both: those of a path's routes.
std::string methods_of(std::string_view path);

/// The route of a request. Throws ApiError: 404, or 405 for another method of a path that there is.
const Route& find_route(std::string_view method, std::string_view path);

}  // namespace sw::server
