// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "cli/option_text.h"

/// Scripts that complete subcommands, flags and values, each for a shell; made of what the help is made of.
namespace sw::cli {

std::string bash_completion(const CLI::App& program);
std::string fish_completion(const CLI::App& program);
std::string zsh_completion(const CLI::App& program);

/// FILE and DIR are completed by the shell, all else (WORD) by the option's choices.
std::string completion_kind(const OptionText& text);

}  // namespace sw::cli
