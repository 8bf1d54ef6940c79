// SPDX-License-Identifier: MIT
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/edit_distance.h"
#include "base/error.h"
#include "base/input_files.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/help_text.h"
#include "cli/interrupt.h"
#include "cli/option_text.h"
#include "cli/standard_streams.h"

namespace sw::cli {

#define SW_COMMAND(name) void add_##name(CLI::App& program, Action& action);
#include "cli/commands.inc"
#undef SW_COMMAND

namespace {

constexpr AddCommand kCommands[] = {
#define SW_COMMAND(name) add_##name,
#include "cli/commands.inc"
#undef SW_COMMAND
};

constexpr const char* kCommandNames[] = {
#define SW_COMMAND(name) #name,
#include "cli/commands.inc"
#undef SW_COMMAND
};

bool is_command(std::string_view name) {
  return std::find(std::begin(kCommandNames), std::end(kCommandNames), name) != std::end(kCommandNames);
}

UsageError unknown_subcommand(const std::string& name) {
  const std::string near = nearest(name, {std::begin(kCommandNames), std::end(kCommandNames)});
  return UsageError("unknown subcommand: " + printable(name, 60) +
                    (near.empty() ? " (switchyard -h lists them)" : "; did you mean " + near + "?"));
}

int fail(ExitCode code, const std::string& line) {
  std::fflush(stdout);
  std::fprintf(stderr, "error: %s\n", line.c_str());
  return code;
}

/// What a run says before it begins.
struct Notes {
  std::vector<std::string> lines = {}, warnings = {};

  void print() const {
    for (const std::string& line : lines) log::info("{}", line);
    for (const std::string& line : warnings) log::warn("{}", line);
  }
};

/// What CLI11 is to parse, last first, as it wants them.
std::vector<std::string> arguments_for(CLI::App& program, std::vector<std::string> arguments,
                                       EnvironmentFlags& environment, Notes& notes) {
  const std::string first = arguments.front();
  if (is_command(first)) {
    const bool asks = first == "help" && arguments.size() > 1 && !arguments[1].starts_with('-');
    if (asks && !is_command(arguments[1])) throw unknown_subcommand(arguments[1]);
    CLI::App& command = *program.get_subcommand(first);
    arguments.erase(arguments.begin());
    ReadArguments read = read_arguments(command, arguments);
    arguments = {first};
    const std::vector<std::string> more = environment.read(command, read.given);
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.insert(arguments.end(), read.entries.begin(), read.entries.end());
    notes = {.lines = read.notes, .warnings = note_unknown_variables(program)};
  } else if (!first.starts_with('-')) {
    throw unknown_subcommand(first);
  } else if (!program.get_option_no_throw(first)) {
    throw UsageError("a subcommand comes first, as in switchyard run " + printable(first, 60) +
                     " (switchyard -h lists them)");
  }
  std::reverse(arguments.begin(), arguments.end());
  return arguments;
}

/// Every subcommand with its flags.
void add_commands(CLI::App& program, Action& action) {
  program.require_subcommand(1);
  program.formatter(make_help_formatter());
  program.set_help_flag("-h,--help", "show the usual flags");
  program.set_version_flag("-v,--version", SW_VERSION, "print the version");
  for (const AddCommand add : kCommands) add(program, action);
  for (CLI::App* command : program.get_subcommands({})) {
    let_last_flag_count(*command);
    refuse_empty_values(*command);
    command->set_help_all_flag("--help-all", "show every flag");
    command->set_version_flag("--version", SW_VERSION, "print the version");
    for (const char* name : {"--help", "--help-all", "--version"})
      command->get_option(name)->group(kHelpGroup);
  }
}

int run_program(std::vector<std::string> arguments, EnvironmentFlags& environment) {
  CLI::App program("Runs mixture-of-experts language models; routing is yours to set.", "switchyard");
  Action action;
  add_commands(program, action);
  if (arguments.empty()) {
    std::fputs(program.help().c_str(), stderr);
    return kExitUsage;
  }
  Notes notes;
  try {
    program.parse(arguments_for(program, std::move(arguments), environment, notes));
    notes.print();
    return action();
  } catch (const CLI::Success& e) {
    notes.print();
    return program.exit(e);  // --help, --version
  } catch (const CLI::RequiredError& e) {
    const std::vector<CLI::App*> named = program.get_subcommands();
    throw UsageError(printable(e.what()) + "; usage: " + usage(named.empty() ? program : *named.front()));
  } catch (const CLI::ParseError& e) {
    throw UsageError(printable(e.what()));
  }
}

/// The exit code of a program that failed with the exception at hand, and its line.
int fail_with_current(const EnvironmentFlags& environment) {
  try {
    throw;
  } catch (const UsageError& e) {
    return fail(kExitUsage, environment.explain(e.what()));
  } catch (const SystemError& e) {
    return fail(kExitSystem, environment.explain(e.what()));
  } catch (const Error& e) {
    return fail(kExitUser, environment.explain(e.what()));
  } catch (const std::bad_alloc&) {
    return fail(kExitSystem, "not enough memory");
  } catch (const std::exception& e) {
    // fmt::print throws where it cannot write.
    return fail(kExitSystem, std::ferror(stdout) ? kOutputFailed : std::string("unexpected: ") + e.what());
  }
}

}  // namespace
}  // namespace sw::cli

int main(int argc, char** argv) {
  using namespace sw::cli;
  open_closed_streams();
  // A write beyond `ulimit -f` is then an error, as on a full disk, and not the program's end.
  std::signal(SIGXFSZ, SIG_IGN);
  const sw::InputProtection protection;
  EnvironmentFlags environment;
  try {
    const int code = run_program({argv + std::min(argc, 1), argv + argc}, environment);
    if (code == kExitOk) check_output();
    if (code == kExitInterrupted) {
      std::fflush(stdout);
      end_by_interrupt();
    }
    return code;
  } catch (...) {
    return fail_with_current(environment);
  }
}
