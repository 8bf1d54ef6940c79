// SPDX-License-Identifier: MIT
#include <memory>

#include "base/log.h"
#include "base/memory.h"
#include "base/topology.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/option_text.h"
#include "cli/progress_bar.h"
#include "convert/convert_hf.h"

namespace sw::cli {
namespace {

struct ConvertFlags {
  std::string hf_dir = {}, out = {}, out_type = "auto", name = {};
  int n_thread = 0;
};

int run(const ConvertFlags& flags) {
  ProgressBar bar("converting");
  const ConvertReport report =
      convert_hf(flags.hf_dir, flags.out,
                 {.out_type = parse_out_type(flags.out_type),
                  .name = flags.name,
                  .n_thread = flags.n_thread > 0 ? flags.n_thread : topology().n_core,
                  .progress = bar.callback()});
  bar.finish();
  for (const std::string& note : report.notes) log::info("{}", note);
  log::info("wrote {}: {} tensors, {:.1f} MiB", flags.out, report.n_tensors, mib(report.tensor_bytes));
  return kExitOk;
}

}  // namespace

void add_convert(CLI::App& program, Action& action) {
  auto flags = std::make_shared<ConvertFlags>();
  CLI::App* command = program.add_subcommand("convert", "make a GGUF file of a Hugging Face folder");
  command->add_option("HF_DIR", flags->hf_dir, "the folder with config.json, *.safetensors, tokenizer.json")
      ->option_text("DIR")
      ->required();
  command->add_option("-o,--out,--outfile", flags->out, "the GGUF file to write")
      ->option_text("FILE")
      ->required();
  command->add_option("--outtype", flags->out_type, "the format of matrices; auto: each matrix keeps its own")
      ->option_text("TYPE")
      ->check(choices({"auto", "f32", "f16", "bf16", "q8_0"}))
      ->capture_default_str();
  command
      ->add_option("--name,--model-name", flags->name, "general.name (default: made from the folder's name)")
      ->option_text("NAME");
  command->add_option("-t,--threads", flags->n_thread, "number of threads (default: one per core)")
      ->transform(range(limits::kThreads));
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
