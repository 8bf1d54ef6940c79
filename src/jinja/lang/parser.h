// SPDX-License-Identifier: MIT
#pragma once
#include <string_view>

#include "jinja/lang/ast.h"

namespace sw::jinja {

/// Parses a template. Throws sw::Error naming the line, also for filters and tests that do not exist (but,
/// as Jinja, only when they are reached where they stand in an if).
Tree parse(std::string_view source);

}  // namespace sw::jinja
