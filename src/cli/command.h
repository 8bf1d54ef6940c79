// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>

/// What a subcommand's file gives to main. Each adds itself to the program with its flags and returns
/// what runs when it was named; the result is the exit code.
namespace sw::cli {

using Action = std::function<int()>;
/// (program, action to fill): adds one subcommand.
using AddCommand = void (*)(CLI::App& program, Action& action);

/// Makes `command` run `body` when it is named.
inline void on_run(CLI::App* command, Action& action, Action body) {
  command->callback([&action, body = std::move(body)] { action = body; });
}

/// Exit codes of the program.
enum ExitCode { kExitOk = 0, kExitUser = 1, kExitUsage = 2, kExitSystem = 3, kExitInterrupted = 130 };

}  // namespace sw::cli
