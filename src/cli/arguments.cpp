// SPDX-License-Identifier: MIT
#include "cli/arguments.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string_view>

namespace sw::cli {
namespace {

constexpr std::string_view kShortNames[] = {"-ub",  "-tb",  "-ctk", "-ctv", "-fa", "-fmoe", "-ger", "-no-ger",
                                            "-ser", "-ngl", "-ot",  "-sm",  "-ts", "-mg",   "-dev", "-tg"};

}  // namespace

std::vector<std::string> spread_short_names(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {
    const std::string_view argument = argv[i];
    const std::string_view name = argument.substr(0, argument.find('='));
    const bool known =
        std::find(std::begin(kShortNames), std::end(kShortNames), name) != std::end(kShortNames);
    arguments.push_back((known ? "-" : "") + std::string(argument));
  }
  return arguments;
}

void name_environment(CLI::App& program) {
  for (CLI::App* command : program.get_subcommands({})) {
    for (CLI::Option* option : command->get_options()) {
      if (option->get_lnames().empty() || option->get_lnames().front() == "help") continue;
      std::string name = "SWITCHYARD_" + option->get_lnames().front();
      for (char& c : name)
        c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      option->envname(name);
    }
  }
}

CLI::Range range(const limits::Limit& limit) { return CLI::Range(limit.least, limit.most); }

}  // namespace sw::cli
