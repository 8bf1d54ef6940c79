// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "runtime/limits.h"

namespace sw::cli {

/// The arguments after the program's name in the order that CLI11 wants (last first). llama.cpp's names
/// of one dash and several letters (-ub, -ger) become --ub, --ger: CLI11 knows only one letter.
std::vector<std::string> spread_short_names(int argc, char** argv);

/// Lets every option of every subcommand come from SWITCHYARD_<LONG_NAME> too.
void name_environment(CLI::App& program);

/// The check of an option that takes whole numbers within a limit.
CLI::Range range(const limits::Limit& limit);

}  // namespace sw::cli
