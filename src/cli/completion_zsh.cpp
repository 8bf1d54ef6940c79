// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <string>

#include "cli/completion.h"

namespace sw::cli {
namespace {

constexpr const char* kHead = R"(#compdef switchyard
# zsh completion for switchyard, made by: switchyard completion zsh
_switchyard() {
  if ((CURRENT == 2)); then
    local -a commands=(
)";

constexpr const char* kAfterCommands = R"(    )
    _describe 'subcommand' commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
)";

constexpr const char* kTail = R"(  esac
}
if [[ $funcstack[1] == _switchyard ]]; then _switchyard "$@"; else compdef _switchyard switchyard; fi
)";

/// Text between single quotes, where `special` has a backslash in front.
std::string escaped(const std::string& text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (special.find(c) != special.npos) out += '\\';
    out += c;
  }
  return out;
}

/// ":message:what completes it"
std::string value_of(const OptionText& text) {
  const std::string message = escaped(text.place.empty() ? text.value : text.place, "\\:[]");
  const std::string kind = completion_kind(text);
  if (kind == "DIR") return fmt::format(":{}:_files -/", message);
  if (text.choices.empty()) return fmt::format(":{}:{}", message, kind == "FILE" ? "_files" : " ");
  std::string words;
  for (const std::string& choice : text.choices)
    words += (words.empty() ? "" : " ") + escaped(choice, "\\:() ");
  return fmt::format(":{}:({})", message, words);
}

/// The specifications of _arguments: one for each spelling, each allowed again and again.
std::string option_lines(const CLI::Option& option, int& n_place) {
  const OptionText text = describe(option);
  if (!text.place.empty()) {
    const std::string place = option.get_items_expected_max() > 1 ? "*" : std::to_string(++n_place);
    return fmt::format("        '{}{}'\n", place, value_of(text));
  }
  std::string out;
  for (const std::string& name : text.names()) {
    const std::string value = text.value.empty() ? "" : (text.needs_value ? "" : ":") + value_of(text);
    const bool long_with_value = !value.empty() && name.starts_with("--");
    out += fmt::format("        '*{}{}[{}]{}'\n", name, long_with_value ? "=" : "",
                       escaped(text.description, "\\[]"), value);
  }
  return out;
}

}  // namespace

std::string zsh_completion(const CLI::App& program) {
  std::string commands, cases;
  for (const CLI::App* command : program.get_subcommands({})) {
    commands +=
        fmt::format("      '{}:{}'\n", command->get_name(), escaped(command->get_description(), "\\:"));
    std::string lines;
    int n_place = 0;
    for (const OptionGroup& group : option_groups(*command, true)) {
      for (const CLI::Option* option : group.options) lines += option_lines(*option, n_place);
    }
    cases += fmt::format("    {})\n      local -a flags=(\n{}      )\n      _arguments $flags ;;\n",
                         command->get_name(), lines);
  }
  return kHead + commands + kAfterCommands + cases + kTail;
}

}  // namespace sw::cli
