// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

/// What the help, the manual page and the completion say about an option: one view of CLI11's tree, so that
/// none of the three can differ from what is read.
namespace sw::cli {

/// Names that mean the same, as `-ub, --ubatch-size`; the opposite of a switch is a second spelling.
struct Spelling {
  std::string short_name = {};               ///< with its dash; empty where there is none
  std::vector<std::string> long_names = {};  ///< with their dashes

  /// "-ub, --ubatch-size"; the first long name alone unless `all`.
  std::string to_string(bool all) const;
};

struct OptionText {
  std::string place = {};  ///< the name of an argument without a flag, as IN
  std::vector<Spelling> spellings = {};
  std::string value = {};                 ///< what stands for its value, as N or FILE; empty: takes none
  bool needs_value = true;                ///< `value` may not be left out
  std::vector<std::string> choices = {};  ///< all values that it can have, or the usual ones
  std::string description = {};           ///< with its default

  /// "-ub, --ubatch-size N", or "IN".
  std::string head(bool all) const;
  /// All of them, with their dashes.
  std::vector<std::string> names() const;
};

OptionText describe(const CLI::Option& option);

/// Options that stand together, as "Routing".
struct OptionGroup {
  std::string name = {};
  std::vector<const CLI::Option*> options = {};
};

/// The groups of a subcommand: its places without a flag, its own flags, routing, then the others as
/// declared. Without `all` those whose name begins with kRare are left out.
std::vector<OptionGroup> option_groups(const CLI::App& command, bool all);

/// The begin of the name of a group that the short help leaves out: "More on sampling".
constexpr const char* kRare = "More on ";
constexpr const char* kPlaces = "Arguments";
/// Help, version: flags that only print.
constexpr const char* kHelpGroup = "Help";

/// "switchyard quantize IN OUT TYPE [FLAGS]", with the flags that must be there.
std::string usage(const CLI::App& command);

/// Text in lines of at most `width` columns, all but the first begun with `indent` spaces. `column` is where
/// the first line begins.
std::string wrap(const std::string& text, size_t column, size_t indent, size_t width = 80);

/// Names the usual values of an option for the help and the completion. Refuses nothing: whoever reads the
/// value does that.
CLI::Validator choices(const std::vector<std::string>& values);

}  // namespace sw::cli
