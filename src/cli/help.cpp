// SPDX-License-Identifier: MIT
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/man_page.h"
#include "cli/option_text.h"

namespace sw::cli {
namespace {

struct HelpFlags {
  std::string subcommand = {};
  bool man = false, all = false;
};

int run(const CLI::App& program, const HelpFlags& flags) {
  const CLI::App& shown = flags.subcommand.empty() ? program : *program.get_subcommand(flags.subcommand);
  const CLI::AppFormatMode mode = flags.all ? CLI::AppFormatMode::All : CLI::AppFormatMode::Normal;
  const std::string text =
      flags.man ? man_page(program) : program.get_formatter()->make_help(&shown, "", mode);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kExitOk;
}

}  // namespace

void add_help(CLI::App& program, Action& action) {
  auto flags = std::make_shared<HelpFlags>();
  CLI::App* command = program.add_subcommand("help", "show the flags of a subcommand, or the manual page");
  std::vector<std::string> names;
  for (const CLI::App* other : program.get_subcommands({})) names.push_back(other->get_name());
  CLI::Option* subcommand = command->add_option("SUBCOMMAND", flags->subcommand, "a subcommand")
                                ->option_text("SUBCOMMAND")
                                ->check(choices(names));
  command->add_flag("--all", flags->all, "show every flag, as --help-all does")->needs(subcommand);
  command->add_flag("--man", flags->man, "print the manual page: switchyard help --man | man -l -")
      ->excludes(subcommand);
  const CLI::App* whole = &program;
  on_run(command, action, [whole, flags] { return run(*whole, *flags); });
}

}  // namespace sw::cli
