// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <string>

#include "cli/completion.h"

namespace sw::cli {
namespace {

/// What bash does with the tables: what stands before the cursor says which words fit.
constexpr const char* kHead = R"(# bash completion for switchyard, made by: switchyard completion bash
_switchyard() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
  local flags='' words='' kind='' place=FILE place_words=''
  # bash cuts --flag=value into three words
  if [[ $current == '=' ]]; then current=''; else [[ $before == '=' ]] && before=${COMP_WORDS[COMP_CWORD-2]}; fi
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W ")";

constexpr const char* kAfterCommands = R"(" -- "$current"))
    return
  fi
  case $command in
)";

constexpr const char* kTail = R"(  esac
  if [[ -z $kind && $current == -* ]]; then
    words=$flags
  elif [[ -z $kind ]]; then
    kind=$place
    words="$words $place_words"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  case $kind in
    FILE) compopt -o default ;;
    DIR) compopt -o dirnames ;;
  esac
}
complete -F _switchyard switchyard
)";

/// The flags before the cursor that are this option, and what follows them.
std::string value_line(const OptionText& text) {
  std::string names;
  for (const std::string& name : text.names()) names += (names.empty() ? "" : "|") + name;
  std::string sets;
  if (text.needs_value) sets += " kind=" + completion_kind(text);
  if (!text.choices.empty()) sets += fmt::format(" words='{}'", fmt::join(text.choices, " "));
  return sets.empty() ? "" : fmt::format("        {}){} ;;\n", names, sets);
}

std::string command_lines(const CLI::App& command) {
  std::string flags, values, place = "WORD", place_words;
  for (const OptionGroup& group : option_groups(command, true)) {
    for (const CLI::Option* option : group.options) {
      const OptionText text = describe(*option);
      for (const std::string& name : text.names()) flags += (flags.empty() ? "" : " ") + name;
      if (!text.place.empty()) {
        if (completion_kind(text) != "WORD") place = completion_kind(text);
        place_words += fmt::format(" {}", fmt::join(text.choices, " "));
      } else if (!text.value.empty()) {
        values += value_line(text);
      }
    }
  }
  return fmt::format(
      "    {})\n      flags='{}'\n      place={} place_words='{}'\n      case $before in\n{}      esac ;;\n",
      command.get_name(), flags, place, place_words, values);
}

}  // namespace

std::string bash_completion(const CLI::App& program) {
  std::string commands, cases;
  for (const CLI::App* command : program.get_subcommands({})) {
    commands += (commands.empty() ? "" : " ") + command->get_name();
    cases += command_lines(*command);
  }
  return kHead + commands + kAfterCommands + cases + kTail;
}

}  // namespace sw::cli
