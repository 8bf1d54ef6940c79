// SPDX-License-Identifier: MIT
#include "convert/quantize.h"

#include <fmt/core.h>
#include <memory>

#include "base/log.h"
#include "base/topology.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/progress_bar.h"

namespace sw::cli {
namespace {

struct QuantizeFlags {
  std::string in = {}, out = {}, mix = {};
  std::vector<std::string> tensor_types = {};
  bool dry_run = false, allow_requantize = false;
  int n_thread = 0;
};

double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

int run(const QuantizeFlags& flags) {
  ProgressBar bar("quantising");
  QuantizeOptions options{.allow_requantize = flags.allow_requantize,
                          .dry_run = flags.dry_run,
                          .n_thread = flags.n_thread > 0 ? flags.n_thread : topology().n_core,
                          .progress = bar.callback()};
  for (const std::string& text : flags.tensor_types)
    options.tensor_types.push_back(parse_tensor_type_rule(text));
  const QuantizeReport report = quantize(flags.in, flags.out, flags.mix, options);
  bar.finish();
  for (const std::string& note : report.notes) log::info("{}", note);
  if (flags.dry_run) {
    for (const QuantizedTensor& t : report.tensors) {
      fmt::print("{:<40} {:<20} {:>5} -> {:<5} {:10.2f} MiB\n", t.name, t.shape.to_string(),
                 type_name(t.from), type_name(t.to), mib(t.to_bytes));
    }
    fmt::print("{:.1f} MiB -> {:.1f} MiB (nothing was written)\n", mib(report.from_bytes),
               mib(report.to_bytes));
    return kExitOk;
  }
  log::info("wrote {}: {:.1f} MiB -> {:.1f} MiB", flags.out, mib(report.from_bytes), mib(report.to_bytes));
  return kExitOk;
}

}  // namespace

void add_quantize(CLI::App& program, Action& action) {
  auto flags = std::make_shared<QuantizeFlags>();
  CLI::App* command = program.add_subcommand("quantize", "store a GGUF file's weights in a smaller format");
  command->add_option("in", flags->in, "GGUF file")->required();
  command->add_option("out", flags->out, "the GGUF file to write")->required();
  command->add_option("type", flags->mix, "a mix (Q4_K_M, Q5_K_M, ...) or a format (Q8_0, Q6_K, F16, ...)")
      ->required();
  command
      ->add_option("--tensor-type", flags->tensor_types,
                   "REGEX=TYPE for tensors whose name it finds; repeatable")
      ->allow_extra_args(false);
  command->add_flag("--allow-requantize", flags->allow_requantize, "take input that is quantised already");
  command->add_flag("--dry-run", flags->dry_run, "print types and sizes, write nothing");
  command->add_option("-t,--threads", flags->n_thread, "threads (default: one a core)")
      ->transform(range(limits::kThreads));
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
