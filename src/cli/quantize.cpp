// SPDX-License-Identifier: MIT
#include "convert/quantize.h"

#include <filesystem>
#include <fmt/core.h>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/topology.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/option_text.h"
#include "cli/progress_bar.h"
#include "convert/quant_mix.h"

namespace sw::cli {
namespace {

struct QuantizeFlags {
  std::string in = {}, out = {}, mix = {};
  std::vector<std::string> tensor_types = {};
  std::string output_type = {}, embedding_type = {};  ///< empty: by the mix
  bool dry_run = false, allow_requantize = false;
  int n_thread = 0, n_thread_place = 0;  ///< by -t, and behind the type
};

double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

std::vector<std::string> mix_names() {
  std::vector<std::string> names;
  for (const QuantMix& mix : quant_mixes()) names.emplace_back(mix.name);
  return names;
}

std::vector<std::string> type_names() {
  return {
#define SW_TYPE(name, id) #name,
#include "quant/types.inc"
#undef SW_TYPE
  };
}

/// Of all tensors.
double bits_per_weight(const QuantizeReport& report) {
  int64_t n_weight = 0;
  for (const QuantizedTensor& tensor : report.tensors) n_weight += tensor.shape.n_elements();
  return n_weight > 0 ? 8.0 * static_cast<double>(report.to_bytes) / static_cast<double>(n_weight) : 0.0;
}

int n_thread_of(const QuantizeFlags& flags) {
  if (flags.n_thread > 0) return flags.n_thread;
  return flags.n_thread_place > 0 ? flags.n_thread_place : topology().n_core;
}

/// The size is known before the work: minutes for a file that finds no room help nobody.
void check_room(const QuantizeFlags& flags, QuantizeOptions options) {
  options.dry_run = true;
  options.progress = {};
  const uint64_t needed = quantize(flags.in, flags.out, flags.mix, options).to_bytes;
  std::error_code failed;
  const std::filesystem::path folder = std::filesystem::absolute(flags.out).parent_path();
  const std::filesystem::space_info space = std::filesystem::space(folder, failed);
  if (failed || space.available >= needed) return;
  throw SystemError({.what = "the disk has no room for the file",
                     .where = flags.out,
                     .expected = fmt::format("{:.1f} MiB", mib(needed)),
                     .got = fmt::format("{:.1f} MiB free", mib(space.available))});
}

int run(const QuantizeFlags& flags) {
  ProgressBar bar("quantizing");
  QuantizeOptions options{.allow_requantize = flags.allow_requantize,
                          .dry_run = flags.dry_run,
                          .n_thread = n_thread_of(flags),
                          .progress = bar.callback()};
  for (const std::string& text : flags.tensor_types)
    options.tensor_types.push_back(parse_tensor_type_rule(text));
  if (!flags.output_type.empty()) {
    options.output_type = parse_type(flags.output_type, "--output-tensor-type");
  }
  if (!flags.embedding_type.empty()) {
    options.embedding_type = parse_type(flags.embedding_type, "--token-embedding-type");
  }
  if (!flags.dry_run) check_room(flags, options);
  const QuantizeReport report = quantize(flags.in, flags.out, flags.mix, options);
  bar.finish();
  for (const std::string& note : report.notes) log::info("{}", note);
  if (flags.dry_run) {
    for (const QuantizedTensor& t : report.tensors) {
      fmt::print("{:<40} {:<20} {:>5} -> {:<5} {:10.2f} MiB\n", t.name, t.shape.to_string(),
                 type_name(t.from), type_name(t.to), mib(t.to_bytes));
    }
    fmt::print("{:.1f} MiB -> {:.1f} MiB, {:.3f} bits per weight (nothing was written)\n",
               mib(report.from_bytes), mib(report.to_bytes), bits_per_weight(report));
    return kExitOk;
  }
  log::info("wrote {}: {:.1f} MiB -> {:.1f} MiB", flags.out, mib(report.from_bytes), mib(report.to_bytes));
  return kExitOk;
}

}  // namespace

void add_quantize(CLI::App& program, Action& action) {
  auto flags = std::make_shared<QuantizeFlags>();
  CLI::App* command = program.add_subcommand("quantize", "store a GGUF file's weights in a smaller format");
  command->add_option("IN", flags->in, "a GGUF file")->option_text("FILE")->required();
  command->add_option("OUT", flags->out, "the GGUF file to write")->option_text("FILE")->required();
  command->add_option("TYPE", flags->mix, "a mix (Q4_K_M, IQ3_XXS, ...) or a format (Q8_0, F16, ...)")
      ->option_text("TYPE")
      ->check(choices(mix_names()))
      ->required();
  command->add_option("THREADS", flags->n_thread_place, "the same as -t")->transform(range(limits::kThreads));
  command
      ->add_option("--tensor-type", flags->tensor_types,
                   "a format for the tensors whose names match; repeatable")
      ->option_text("REGEX=TYPE")
      ->allow_extra_args(false);
  command->add_option("--output-tensor-type", flags->output_type, "a format for the output matrix")
      ->option_text("TYPE")
      ->check(choices(type_names()));
  command->add_option("--token-embedding-type", flags->embedding_type, "a format for the token embedding")
      ->option_text("TYPE")
      ->check(choices(type_names()));
  command->add_flag("--allow-requantize", flags->allow_requantize, "accept input that is already quantized");
  command->add_flag("--dry-run", flags->dry_run, "print types and sizes, write nothing");
  command->add_option("-t,--threads", flags->n_thread, "number of threads (default: one per core)")
      ->transform(range(limits::kThreads));
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
