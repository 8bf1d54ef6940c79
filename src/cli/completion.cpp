// SPDX-License-Identifier: MIT
#include "cli/completion.h"

#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "cli/arguments.h"
#include "cli/command.h"

namespace sw::cli {
namespace {

constexpr std::pair<const char*, std::string (*)(const CLI::App&)> kShells[] = {
    {"bash", bash_completion}, {"fish", fish_completion}, {"zsh", zsh_completion}};

}  // namespace

std::string completion_kind(const OptionText& text) {
  return text.value == "FILE" || text.value == "DIR" ? text.value : "WORD";
}

void add_completion(CLI::App& program, Action& action) {
  CLI::App* command = program.add_subcommand("completion", "print the completion of names for a shell");
  auto shell = std::make_shared<std::string>();
  std::vector<std::string> names;
  for (const auto& [name, make] : kShells) names.emplace_back(name);
  command->add_option("SHELL", *shell, "eval \"$(switchyard completion bash)\" uses it at once")
      ->required()
      ->check(one_of(names));
  const CLI::App* whole = &program;
  on_run(command, action, [whole, shell] {
    for (const auto& [name, make] : kShells) {
      if (*shell != name) continue;
      const std::string text = make(*whole);
      std::fwrite(text.data(), 1, text.size(), stdout);
    }
    return kExitOk;
  });
}

}  // namespace sw::cli
