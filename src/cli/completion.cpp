// SPDX-License-Identifier: MIT
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/option_text.h"

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

std::vector<std::string> names_of(const OptionText& text) {
  std::vector<std::string> names;
  for (const Spelling& s : text.spellings) {
    if (!s.short_name.empty()) names.push_back(s.short_name);
    names.insert(names.end(), s.long_names.begin(), s.long_names.end());
  }
  return names;
}

/// FILE and DIR are completed by bash, all else by words.
std::string kind_of(const OptionText& text) {
  return text.value == "FILE" || text.value == "DIR" ? text.value : "WORD";
}

/// The flags before the cursor that are this option, and what follows them.
std::string value_line(const OptionText& text) {
  std::string names;
  for (const std::string& name : names_of(text)) names += (names.empty() ? "" : "|") + name;
  std::string sets;
  if (text.needs_value) sets += " kind=" + kind_of(text);
  if (!text.choices.empty()) sets += fmt::format(" words='{}'", fmt::join(text.choices, " "));
  return sets.empty() ? "" : fmt::format("        {}){} ;;\n", names, sets);
}

std::string command_lines(const CLI::App& command) {
  std::string flags, values, place = "WORD", place_words;
  for (const OptionGroup& group : option_groups(command, true)) {
    for (const CLI::Option* option : group.options) {
      const OptionText text = describe(*option);
      for (const std::string& name : names_of(text)) flags += (flags.empty() ? "" : " ") + name;
      if (!text.place.empty()) {
        if (kind_of(text) != "WORD") place = kind_of(text);
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

std::string bash_completion(const CLI::App& program) {
  std::string commands, cases;
  for (const CLI::App* command : program.get_subcommands({})) {
    commands += (commands.empty() ? "" : " ") + command->get_name();
    cases += command_lines(*command);
  }
  return kHead + commands + kAfterCommands + cases + kTail;
}

}  // namespace

void add_completion(CLI::App& program, Action& action) {
  CLI::App* command = program.add_subcommand("completion", "print the completion of names for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash: eval \"$(switchyard completion bash)\" uses it at once")
      ->required()
      ->check(CLI::IsMember({"bash"}));
  const CLI::App* whole = &program;
  on_run(command, action, [whole, shell] {
    const std::string text = bash_completion(*whole);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kExitOk;
  });
}

}  // namespace sw::cli
