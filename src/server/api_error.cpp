// SPDX-License-Identifier: MIT
#include "server/api_error.h"

#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "router/too_many_policies.h"

namespace sw::server {
namespace {

/// The names that OpenAI's and Anthropic's clients share.
const char* type_of(int status) {
  constexpr std::pair<int, const char*> kTypes[] = {{401, "authentication_error"}, {403, "permission_error"},
                                                    {404, "not_found_error"},      {413, "request_too_large"},
                                                    {429, "rate_limit_error"},     {503, "overloaded_error"}};
  for (const auto& [s, type] : kTypes) {
    if (s == status) return type;
  }
  return status >= 500 ? "api_error" : "invalid_request_error";
}

}  // namespace

ApiError::ApiError(const Error& error, const std::string& param)
    : parts_{.message = error.what(), .param = param.empty() ? error.parts().where : param} {}

Json ApiError::body() const {
  Json error = {{"message", parts_.message}, {"type", type_of(parts_.status)}};
  error["param"] = parts_.param.empty() ? Json() : Json(parts_.param);
  error["code"] = parts_.code;
  error.update(parts_.more);
  return {{"type", "error"}, {"error", std::move(error)}};
}

http::Response ApiError::response() const {
  http::Response response{.status = parts_.status, .body = dump(body())};
  if (parts_.retry_after_s > 0)
    response.headers.push_back({"Retry-After", std::to_string(parts_.retry_after_s)});
  return response;
}

ApiError stopping_error() {
  return ApiError(
      {.status = 503, .message = "the server is stopping", .code = "stopping", .retry_after_s = 5});
}

ApiError current_error(const std::string& request_id) {
  try {
    throw;
  } catch (const ApiError& e) {
    return e;
  } catch (const NoSpaceError& e) {
    return ApiError({.status = 507, .message = e.what(), .code = "no_space"});
  } catch (const TooManyPolicies& e) {
    return ApiError({.status = 429, .message = e.what(), .code = "too_many_policies", .retry_after_s = 1});
  } catch (const SystemError& e) {
    return ApiError({.status = 500, .message = e.what(), .code = "system_error"});
  } catch (const Error& e) {
    return ApiError(e);
  } catch (const std::exception& e) {
    log::error("request {}: {}", request_id, e.what());
    return ApiError({.status = 500, .message = "an error of the server's own", .code = "internal_error"});
  }
}

}  // namespace sw::server
