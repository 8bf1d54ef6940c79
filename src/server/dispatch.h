// SPDX-License-Identifier: MIT
#pragma once
#include "server/service.h"

namespace sw::server {

/// Answers one request, or hands it to what will: finds its route, checks who calls, and turns what was wrong
/// into the answer that says so. Any thread; throws nothing.
void dispatch(Service& service, const http::ExchangePtr& exchange);

/// The answer to a request that could not be read: see http::Handlers.
http::Response refused(int status, std::string_view why);

}  // namespace sw::server
