// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <optional>

namespace sw::cli {

/// A file that comes with the program: beside it, in the installed prefix, or up from a build folder in the
/// source tree. Nothing where it is in none of these.
std::optional<std::filesystem::path> find_shipped(const char* name);

}  // namespace sw::cli
