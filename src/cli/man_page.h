// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace sw::cli {

/// The manual page of the program as troff for man(7): every subcommand with every flag. A group of flags
/// that several subcommands have in the same words is printed once.
std::string man_page(const CLI::App& program);

}  // namespace sw::cli
