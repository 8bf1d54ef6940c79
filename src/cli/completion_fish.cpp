// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <string>

#include "cli/completion.h"

namespace sw::cli {
namespace {

constexpr const char* kHead = R"(# fish completion for switchyard, made by: switchyard completion fish
function __switchyard_has_none
  test (count (commandline -opc)) -eq 1
end
function __switchyard_has
  set -l words (commandline -opc)
  test (count $words) -ge 2; and test $words[2] = $argv[1]
end
complete -c switchyard -f
)";

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

/// What completes a value. fish takes files only where told, because of the -f above.
std::string value_of(const OptionText& text) {
  std::string out;
  const std::string kind = completion_kind(text);
  if (kind == "FILE") out += " -F";
  if (kind == "DIR") out += " -a '(__fish_complete_directories)'";
  if (!text.choices.empty()) out += " -a " + quoted(fmt::format("{}", fmt::join(text.choices, " ")));
  return out;
}

/// fish tells -x, -xy and --xy apart.
std::string flag_of(const std::string& name) {
  if (name.starts_with("--")) return " -l " + name.substr(2);
  return (name.size() == 2 ? " -s " : " -o ") + name.substr(1);
}

std::string option_line(const std::string& command, const CLI::Option& option) {
  const OptionText text = describe(option);
  std::string line = fmt::format("complete -c switchyard -n '__switchyard_has {}'", command);
  for (const std::string& name : text.names()) line += flag_of(name);
  const bool takes = text.place.empty() && !text.value.empty();
  if (takes && text.needs_value) line += completion_kind(text) == "FILE" ? " -r" : " -x";
  if (takes || !text.place.empty()) line += value_of(text);
  if (text.place.empty()) line += " -d " + quoted(text.description);
  return line + "\n";
}

}  // namespace

std::string fish_completion(const CLI::App& program) {
  std::string out = kHead;
  for (const CLI::App* command : program.get_subcommands({})) {
    out += fmt::format("complete -c switchyard -n __switchyard_has_none -a {} -d {}\n", command->get_name(),
                       quoted(command->get_description()));
  }
  for (const CLI::App* command : program.get_subcommands({})) {
    for (const OptionGroup& group : option_groups(*command, true)) {
      for (const CLI::Option* option : group.options) out += option_line(command->get_name(), *option);
    }
  }
  return out;
}

}  // namespace sw::cli
