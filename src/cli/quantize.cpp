// SPDX-License-Identifier: MIT
#include "convert/quantize.h"

#include <filesystem>
#include <fmt/core.h>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/topology.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/option_text.h"
#include "cli/progress_bar.h"
#include "convert/quant_mix.h"
#include "convert/split.h"

namespace sw::cli {
namespace {

struct QuantizeFlags {
  std::string in = {}, out = {}, mix = {};
  std::vector<std::string> tensor_types = {};
  std::string output_type = {}, embedding_type = {};  ///< empty: by the mix
  std::string imatrix = {}, target_size = {};
  double target_bpw = 0;
  bool dry_run = false, allow_requantize = false, keep_split = false;
  int n_thread = 0, n_thread_place = 0;  ///< by -t, and behind the type
};

std::vector<std::string> mix_names() {
  std::vector<std::string> names;
  for (const QuantMix& mix : quant_mixes()) names.emplace_back(mix.name);
  return names;
}

int n_thread_of(const QuantizeFlags& flags) {
  if (flags.n_thread > 0) return flags.n_thread;
  return flags.n_thread_place > 0 ? flags.n_thread_place : topology().n_core;
}

std::optional<SizeTarget> target_of(const QuantizeFlags& flags) {
  const bool by_bits = flags.target_bpw > 0, by_size = !flags.target_size.empty();
  const int n = (by_bits ? 1 : 0) + (by_size ? 1 : 0) + (flags.mix.empty() ? 0 : 1);
  if (n != 1) {
    throw UsageError(fmt::format("quantize: {} TYPE, --target-bpw and --target-size",
                                 n == 0 ? "expected one of" : "expected only one of"));
  }
  if (by_bits) return SizeTarget{.bits_per_weight = flags.target_bpw};
  if (by_size) return SizeTarget{.file_bytes = parse_size(flags.target_size, "--target-size")};
  return std::nullopt;
}

void report_plan(const QuantizeReport& report) {
  for (const QuantizedTensor& t : report.tensors) {
    fmt::print("{:<40} {:<20} {:>5} -> {:<5} {:10.2f} MiB\n", t.name, t.shape.to_string(), type_name(t.from),
               type_name(t.to), mib(t.to_bytes));
  }
  fmt::print("{:.1f} MiB -> {:.1f} MiB, {:.3f} bits per weight (nothing was written)\n",
             mib(report.from_bytes), mib(report.file_bytes), bits_per_weight(report));
}

int run(const QuantizeFlags& flags) {
  ProgressBar bar("quantizing"), measuring("measuring");
  QuantizeOptions options{.target = target_of(flags),
                          .allow_requantize = flags.allow_requantize,
                          .keep_split = flags.keep_split,
                          .dry_run = flags.dry_run,
                          .n_thread = n_thread_of(flags),
                          .progress = bar.callback(),
                          .on_measured = measuring.callback()};
  for (const std::string& text : flags.tensor_types)
    options.tensor_types.push_back(parse_tensor_type_rule(text));
  if (!flags.output_type.empty()) {
    options.output_type = parse_type(flags.output_type, "--output-tensor-type");
  }
  if (!flags.embedding_type.empty()) {
    options.embedding_type = parse_type(flags.embedding_type, "--token-embedding-type");
  }
  std::optional<ImportanceMatrix> importance;
  if (!flags.imatrix.empty()) {
    importance = ImportanceMatrix::read(flags.imatrix);
    options.importance = &*importance;
    options.importance_name = flags.imatrix;
  }
  const QuantizeReport report = quantize(flags.in, flags.out, flags.mix, options);
  measuring.finish();
  bar.finish();
  for (const std::string& note : report.notes) log::info("{}", note);
  for (const std::string& warning : report.warnings) log::warn("{}", warning);
  if (flags.dry_run) {
    report_plan(report);
    return kExitOk;
  }
  const size_t n_part = report.paths.size();
  const std::string parts =
      n_part > 1 ? fmt::format(" ({} of {} parts)", n_part - report.n_kept, n_part) : std::string();
  log::info("wrote {}{}: {:.1f} MiB -> {:.1f} MiB, {:.3f} bits per weight", report.paths.front().string(),
            parts, mib(report.from_bytes), mib(report.file_bytes), bits_per_weight(report));
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
      ->check(choices(mix_names()));
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
  command->add_option("--imatrix", flags->imatrix, "weigh errors by an importance matrix (see imatrix)")
      ->option_text("FILE");
  command
      ->add_option("--target-bpw", flags->target_bpw,
                   "in place of TYPE: formats by measured errors, at most so many bits per weight")
      ->option_text("X")
      ->transform(number(0.01, 32));
  command
      ->add_option("--target-size", flags->target_size,
                   "in place of TYPE: formats by measured errors, at most so many bytes: 900M, 20G")
      ->option_text("SIZE");
  command->add_flag("--keep-split", flags->keep_split,
                    "write as many parts as the input has; OUT is what their names begin with");
  command->add_flag("--allow-requantize", flags->allow_requantize, "accept input that is already quantized");
  command->add_flag("--dry-run", flags->dry_run, "print types and sizes, write nothing");
  command->add_option("-t,--threads", flags->n_thread, "number of threads (default: one per core)")
      ->transform(range(limits::kThreads));
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
