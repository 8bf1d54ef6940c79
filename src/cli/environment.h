// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <set>
#include <string>
#include <vector>

/// Flags from the environment: SWITCHYARD_<LONG NAME>.
namespace sw::cli {

class EnvironmentFlags {
 public:
  /// What the environment says for the options of a subcommand that are not given, nor excluded by one that
  /// is, nor settings of a flag that is not there: as arguments for CLI11. Throws UsageError.
  std::vector<std::string> read(const CLI::App& command, const std::set<const CLI::Option*>& given);

  /// An error's line, which also says so where the environment gave the flag that it names.
  std::string explain(std::string line) const;

 private:
  struct Used {
    std::string variable;
    std::vector<std::string> names;  ///< of its option
  };
  std::vector<Used> used_;
};

/// A line for each SWITCHYARD_* variable that no subcommand has a flag for.
std::vector<std::string> note_unknown_variables(CLI::App& program);

}  // namespace sw::cli
