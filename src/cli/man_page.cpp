// SPDX-License-Identifier: MIT
#include "cli/man_page.h"

#include <fmt/format.h>
#include <map>

#include "cli/help_text.h"
#include "cli/option_text.h"

namespace sw::cli {
namespace {

/// Text that troff sets as it is: a dash that can be copied, no request at the begin of a line.
std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      case '\n':
        out += "\n.br\n";
        break;
      default:
        out += c;
    }
  }
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string body_of(const OptionGroup& group) {
  std::string out;
  for (const CLI::Option* option : group.options) {
    const OptionText text = describe(*option);
    out += fmt::format(".TP\n.B {}\n{}\n", escape(text.head(true)), escape(text.description));
  }
  return out;
}

/// The groups of one subcommand; `printed` knows where a group stands already.
std::string groups_of(const CLI::App& command, std::map<std::string, std::string>& printed) {
  std::string out;
  for (const OptionGroup& group : option_groups(command, true)) {
    if (group.name == kHelpGroup) continue;
    const std::string body = body_of(group);
    const auto [first, is_new] = printed.emplace(body, command.get_name());
    out += fmt::format(".PP\n.I {}:\n", escape(group.name));
    out += is_new ? body : fmt::format("as of\n.BR {} .\n", first->second);
  }
  return out;
}

std::string section(const char* name, const std::string& body) {
  return fmt::format(".SH {}\n{}", name, body);
}

constexpr const char* kExitCodes[][2] = {
    {"0", "success"},
    {"1", "bad input; a line on standard error says what, where, what was expected and what was found"},
    {"2", "wrong usage"},
    {"3", "the machine failed, or the program did: disk full, out of memory"},
    {"130", "ended by Ctrl-C"}};

std::string exit_codes() {
  std::string out;
  for (const auto& [code, meaning] : kExitCodes)
    out += fmt::format(".TP\n.B {}\n{}\n", code, escape(meaning));
  return out;
}

}  // namespace

std::string man_page(const CLI::App& program) {
  std::string synopsis, commands;
  std::map<std::string, std::string> printed;
  for (const CLI::App* command : program.get_subcommands({})) {
    synopsis += fmt::format("{}.B {}\n", synopsis.empty() ? "" : ".br\n", escape(usage(*command)));
    commands +=
        fmt::format(".SS {}\n{}\n.PP\n.B {}\n{}", command->get_name(), escape(command->get_description()),
                    escape(usage(*command)), groups_of(*command, printed));
  }
  return ".\\\" Made by: switchyard help --man\n" +
         fmt::format(".TH SWITCHYARD 1 \"\" \"Switchyard {}\" \"User Commands\"\n", SW_VERSION) +
         section("NAME", "switchyard \\- run mixture\\-of\\-experts language models\n") +
         section("SYNOPSIS", synopsis) + section("DESCRIPTION", escape(program.get_description()) + "\n") +
         section("SUBCOMMANDS", "Each has\n.B \\-h\nand\n.BR \\-\\-help\\-all .\n" + commands) +
         section("EXIT STATUS", exit_codes()) +
         section("ENVIRONMENT", escape(environment_paragraph()) +
                                    "\n.TP\n.B NO_COLOR\nno colors\n.TP\n.B SW_ISA\nlimits the instruction "
                                    "sets that kernels may use: avx2 or scalar\n");
}

}  // namespace sw::cli
