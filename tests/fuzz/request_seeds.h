// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <functional>
#include <string>

namespace sw::fuzz {

/// Gets a seed's name and its bytes.
using SeedSink = std::function<void(const std::string& name, const std::string& bytes)>;

/// For fuzz_request: for each endpoint a short request, and one with every field that has no range or form of
/// its own to break.
void make_request_seeds(const SeedSink& sink);

/// For fuzz_http: one or several requests as a client sends them.
void make_http_seeds(const SeedSink& sink);

}  // namespace sw::fuzz
