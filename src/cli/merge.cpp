// SPDX-License-Identifier: MIT
#include <memory>

#include "base/log.h"
#include "cli/command.h"
#include "cli/progress_bar.h"
#include "convert/split.h"

namespace sw::cli {
namespace {

struct MergeFlags {
  std::string in = {}, out = {};
};

int run(const MergeFlags& flags) {
  ProgressBar bar("merging");
  merge_gguf(flags.in, flags.out, bar.callback());
  bar.finish();
  log::info("wrote {}", flags.out);
  return kExitOk;
}

}  // namespace

void add_merge(CLI::App& program, Action& action) {
  auto flags = std::make_shared<MergeFlags>();
  CLI::App* command = program.add_subcommand("merge", "make one GGUF file of a model in parts");
  command->add_option("IN", flags->in, "the first part; the others must be next to it")
      ->option_text("FILE")
      ->required();
  command->add_option("OUT", flags->out, "the GGUF file to write")->option_text("FILE")->required();
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
