// SPDX-License-Identifier: MIT
#pragma once
#include <exception>
#include <string>

#include "base/error.h"
#include "http/http.h"
#include "server/json.h"

namespace sw::server {

/// What a client is told instead of an answer.
class ApiError : public std::exception {
 public:
  struct Parts {
    int status = 400;
    std::string message = {};
    std::string code = "invalid_value";  ///< for programs
    std::string param = {};              ///< the request's field; empty: none
    Json more = Json::object();          ///< further members, such as n_ctx
    int retry_after_s = 0;               ///< > 0: when it is worth trying again
  };

  explicit ApiError(Parts parts) : parts_(std::move(parts)) {}
  /// Of an error in what the request asked for.
  explicit ApiError(const Error& error, const std::string& param = {});

  const char* what() const noexcept override { return parts_.message.c_str(); }
  const Parts& parts() const { return parts_; }
  int status() const { return parts_.status; }
  /// {"error": {"message", "type", "param", "code"}}; with the outer "type" that Anthropic's clients read.
  Json body() const;
  http::Response response() const;

 private:
  Parts parts_;
};

/// 503: the server comes to its end; another may be there soon.
ApiError stopping_error();

/// What the exception at hand means to a client; called in a catch block. The log tells what the client is
/// not told.
ApiError current_error(const std::string& request_id);

}  // namespace sw::server
