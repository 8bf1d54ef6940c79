// SPDX-License-Identifier: MIT
#include "cli/environment.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fmt/core.h>
#include <iterator>
#include <string_view>
#include <unistd.h>

#include "base/edit_distance.h"
#include "base/error.h"
#include "cli/arguments.h"
#include "cli/foreign_flags.h"
#include "cli/option_text.h"

namespace sw::cli {
namespace {

constexpr std::string_view kPrefix = "SWITCHYARD_";

// What the tests and scripts of the source tree read.
constexpr std::string_view kOfTheSourceTree[] = {"SWITCHYARD_SHARED", "SWITCHYARD_CACHE",
                                                 "SWITCHYARD_FUZZ_RUNS", "SWITCHYARD_NO_SETUP"};

std::string variable_of(const std::string& long_name) {
  std::string variable(kPrefix);
  for (const char c : long_name)
    variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return variable;
}

/// A setting of another flag, which is not there: `--draft-tokens` says nothing without `--draft-experts`.
bool lacks_what_it_needs(const CLI::Option& option, const std::set<const CLI::Option*>& given) {
  const std::set<CLI::Option*> needs = option.get_needs();
  return std::any_of(needs.begin(), needs.end(), [&](const CLI::Option* o) {
    const std::vector<std::string>& names = o->get_lnames();
    return !given.contains(o) && std::none_of(names.begin(), names.end(), [](const std::string& name) {
      return std::getenv(variable_of(name).c_str()) != nullptr;
    });
  });
}

bool excluded(const CLI::Option& option, const std::set<const CLI::Option*>& given) {
  const std::set<CLI::Option*> excludes = option.get_excludes();
  return std::any_of(excludes.begin(), excludes.end(),
                     [&](const CLI::Option* o) { return given.contains(o); });
}

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) {
    names.push_back("--" + name);
    for (const std::string_view alias : aliases_of("--" + name)) names.emplace_back(alias);
  }
  return names;
}

/// Whether a line has this flag's name, and not only one that begins or ends with it.
bool names_flag(std::string_view line, std::string_view flag) {
  const auto is_part = [](char c) { return c == '-' || std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (size_t at = line.find(flag); at != line.npos; at = line.find(flag, at + 1)) {
    const size_t end = at + flag.size();
    if ((at == 0 || !is_part(line[at - 1])) && (end == line.size() || !is_part(line[end]))) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> EnvironmentFlags::read(const CLI::App& command,
                                                const std::set<const CLI::Option*>& given) {
  std::vector<std::string> entries;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group() == kHelpGroup || given.contains(option)) continue;
    if (excluded(*option, given) || lacks_what_it_needs(*option, given)) continue;
    for (const std::string& name : option->get_lnames()) {
      const std::string variable = variable_of(name);
      const char* value = std::getenv(variable.c_str());
      if (!value) continue;
      used_.push_back({variable, names_of(*option)});
      if (option->get_items_expected_min() > 0) {
        entries.push_back("--" + name);
        entries.emplace_back(value);
      } else {
        if (option->get_items_expected_max() == 0) check_switch("--" + name, value);
        entries.push_back("--" + name + "=" + value);
      }
      break;
    }
  }
  return entries;
}

std::string EnvironmentFlags::explain(std::string line) const {
  const auto cause = std::find_if(used_.begin(), used_.end(), [&](const Used& used) {
    return std::any_of(used.names.begin(), used.names.end(),
                       [&](const std::string& name) { return names_flag(line, name); });
  });
  return cause == used_.end() ? line : fmt::format("{} (from the environment: {})", line, cause->variable);
}

std::vector<std::string> note_unknown_variables(CLI::App& program) {
  std::vector<std::string> known(std::begin(kOfTheSourceTree), std::end(kOfTheSourceTree));
  for (const CLI::App* command : program.get_subcommands({})) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_group() == kHelpGroup) continue;
      for (const std::string& name : option->get_lnames()) known.push_back(variable_of(name));
    }
  }
  std::vector<std::string> notes;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const std::string name(text.substr(0, text.find('=')));
    if (!name.starts_with(kPrefix) || std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string near = nearest(name, known);
    notes.push_back(fmt::format("{} in the environment has no effect: no flag has this name{}",
                                printable(name, 60), near.empty() ? "" : "; did you mean " + near + "?"));
  }
  return notes;
}

}  // namespace sw::cli
