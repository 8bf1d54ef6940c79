// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

/// The help of the program and of each subcommand: at most 80 columns.
namespace sw::cli {

/// For App::formatter. AppFormatMode::All shows the groups that the short help leaves out, and every name.
std::shared_ptr<CLI::FormatterBase> make_help_formatter();

/// How flags come from the environment; a paragraph for the help and the manual page.
std::string environment_paragraph();

}  // namespace sw::cli
