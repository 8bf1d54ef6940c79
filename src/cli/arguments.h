// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/limits.h"

/// From argv to what CLI11 reads. CLI11 knows one letter behind one dash, reads `-rtr` as `-r tr`, and tells
/// a missing flag before an unknown one; so names are looked up here, and it sees long names and values only.
namespace sw::cli {

/// The program was called in a wrong way: exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The arguments of a subcommand, as CLI11 is to read them.
struct ReadArguments {
  std::vector<std::string> entries = {};    ///< in their order: each flag by its long name, then its value
  std::set<const CLI::Option*> given = {};  ///< the options that were named
  std::vector<std::string> notes = {};      ///< a line for each flag that has no effect here
};

/// Looks up every name; never changes a value, nor anything after `--`. A single dash with several letters is
/// one name, except that a number may be glued to a letter (`-t8`). Throws UsageError for a flag that is not
/// known (with one that is near), that Switchyard does not have, or whose value is missing.
ReadArguments read_arguments(const CLI::App& command, const std::vector<std::string>& arguments);

/// Throws UsageError where a flag without a value was given one that is neither on nor off.
void check_switch(const std::string& name, const std::string& value);

/// Of two equal flags the last counts, except where a flag is repeatable.
void let_last_flag_count(CLI::App& command);

/// The check of an option that takes decimal whole numbers within a limit, each bound included.
CLI::Validator whole_number(int64_t least, int64_t most);
CLI::Validator range(const limits::Limit& limit);

/// The check of an option that takes a number; its limits are checked elsewhere.
CLI::Validator number();
/// Or here, each bound included.
CLI::Validator number(double least, double most);

/// The check of an option that takes one of these words; the help and the completion name them.
CLI::Validator one_of(const std::vector<std::string>& words);

/// The check of an option that names something: an unset shell variable gives an empty name.
/// Every value but a prompt, a system message or a text to turn into ids must say something: an empty one is
/// most often a shell's variable that was not set.
void refuse_empty_values(CLI::App& command);

}  // namespace sw::cli
