// SPDX-License-Identifier: MIT
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/input_files.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
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

int fail(ExitCode code, const std::string& line) {
  std::fflush(stdout);
  std::fprintf(stderr, "error: %s\n", line.c_str());
  return code;
}

int run_program(int argc, char** argv) {
  CLI::App program("Runs mixture-of-experts language models; routing is yours to set.", "switchyard");
  program.require_subcommand(1);
  program.set_version_flag("--version", SW_VERSION);
  Action action;
  for (const AddCommand add : kCommands) add(program, action);
  name_environment(program);
  std::vector<std::string> arguments = spread_short_names(argc, argv);
  if (arguments.empty()) {
    std::fputs(program.help().c_str(), stderr);
    return kExitUsage;
  }
  const std::string& first = arguments.back();
  if (!first.starts_with('-') && !is_command(first)) {
    return fail(kExitUsage, "unknown subcommand: " + printable(first, 60) + " (switchyard -h lists them)");
  }
  try {
    program.parse(std::move(arguments));
    return action();
  } catch (const CLI::Success& e) {
    return program.exit(e);  // --help, --version
  } catch (const CLI::ParseError& e) {
    return fail(kExitUsage, printable(e.what()) + " (-h shows the usage)");
  }
}

/// The exit code of a program that failed with the exception at hand, and its line.
int fail_with_current() {
  try {
    throw;
  } catch (const SystemError& e) {
    return fail(kExitSystem, e.what());
  } catch (const Error& e) {
    return fail(kExitUser, e.what());
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
  try {
    const int code = run_program(argc, argv);
    if (code == kExitOk) check_output();
    return code;
  } catch (...) {
    return fail_with_current();
  }
}
