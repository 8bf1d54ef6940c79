// SPDX-License-Identifier: MIT
#pragma once
#include <string_view>
#include <vector>

/// What is done with the flags of llama.cpp and ik_llama.cpp that are not names of our options.
namespace sw::cli {

struct ForeignFlag {
  enum class Kind { Alias, NoEffect, Refused };
  enum class Takes { Nothing, Value, Switch };  ///< Switch: the next argument where it is on, off or the like

  std::string_view command;  ///< of this subcommand; empty: of all
  std::string_view names;    ///< with their dashes, separated by spaces
  Kind kind;
  Takes takes;            ///< where it has no effect; an option knows itself what it takes
  std::string_view text;  ///< the option's long name; why it has no effect; what there is instead
};

/// The entry of a name with its dashes; one of this subcommand before one of all. Null where there is none.
const ForeignFlag* find_foreign_flag(std::string_view name, std::string_view command);

/// All names of the table that mean this option, by its long name with dashes.
std::vector<std::string_view> aliases_of(std::string_view option);

/// The names in a list separated by spaces.
std::vector<std::string_view> split_names(std::string_view names);

/// Whether a word is a value of an option that is on or off.
bool is_switch_word(std::string_view word);

}  // namespace sw::cli
