// SPDX-License-Identifier: MIT
#include "convert/split.h"

#include <fmt/core.h>
#include <memory>

#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/progress_bar.h"

namespace sw::cli {
namespace {

constexpr size_t kDefaultMaxTensors = 128;

struct SplitFlags {
  std::string in = {}, prefix = {}, max_size = {};
  size_t max_tensors = 0;
  bool first_without_tensors = false, dry_run = false;
};

int run(const SplitFlags& flags) {
  ProgressBar bar("splitting");
  SplitOptions options{.max_tensors = flags.max_tensors,
                       .first_without_tensors = flags.first_without_tensors,
                       .dry_run = flags.dry_run,
                       .progress = bar.callback()};
  if (!flags.max_size.empty()) options.max_bytes = parse_size(flags.max_size, "--split-max-size");
  if (options.max_bytes == 0 && options.max_tensors == 0) options.max_tensors = kDefaultMaxTensors;
  const std::vector<SplitPart> parts = split_gguf(flags.in, flags.prefix, options);
  bar.finish();
  for (const SplitPart& part : parts) {
    fmt::print("{}: {} tensors, {:.2f} MB\n", part.path.string(), part.n_tensor,
               static_cast<double>(part.tensor_bytes) / 1e6);
  }
  if (flags.dry_run) log::info("nothing was written");
  return kExitOk;
}

}  // namespace

void add_split(CLI::App& program, Action& action) {
  auto flags = std::make_shared<SplitFlags>();
  CLI::App* command = program.add_subcommand("split", "cut a GGUF file into parts");
  command->add_option("IN", flags->in, "a GGUF file")->option_text("FILE")->required();
  command->add_option("PREFIX", flags->prefix, "the parts are PREFIX-00001-of-0000N.gguf and so on")
      ->option_text("FILE")
      ->required();
  command
      ->add_option("--split-max-size", flags->max_size,
                   "at most so much tensor data per part, in bytes: 300M, 2G")
      ->option_text("SIZE");
  command
      ->add_option(
          "--split-max-tensors", flags->max_tensors,
          fmt::format("at most N tensors per part (default: {}, where no size is given)", kDefaultMaxTensors))
      ->transform(whole_number(1, 1 << 30));
  command->add_flag("--no-tensor-first-split", flags->first_without_tensors,
                    "put only the metadata in the first part");
  command->add_flag("--dry-run", flags->dry_run, "print the parts, write nothing");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
