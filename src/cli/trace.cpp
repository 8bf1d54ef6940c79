// SPDX-License-Identifier: MIT
#include "eval/trace.h"

#include <charconv>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/model_report.h"
#include "cli/text_input.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {
namespace {

struct TraceFlags {
  ModelFlags model = {};
  std::string ids_file = {}, text_file = {}, out = {};
  bool hidden = false;
};

/// Integers separated by white space.
std::vector<int32_t> parse_ids(const std::string& text, const std::string& file) {
  std::vector<int32_t> ids;
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
  for (const char *at = text.data(), *end = at + text.size(); at != end;) {
    if (is_space(*at)) {
      ++at;
      continue;
    }
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && !is_space(*next))) {
      throw Error({.what = "this is not a list of token ids",
                   .where = file + ", offset " + std::to_string(at - text.data()),
                   .expected = "integers separated by white space",
                   .got = printable(std::string(at, std::min(end, at + 20)), 40)});
    }
    ids.push_back(id);
    at = next;
  }
  return ids;
}

int run(const TraceFlags& flags) {
  if (flags.ids_file.empty() == flags.text_file.empty()) {
    throw CLI::ValidationError("trace", "give either --ids-file FILE or -f FILE");
  }
  const RoutingPolicy policy = flags.model.policy();
  const std::unique_ptr<const Model> model = load_model(flags.model, {policy});
  const std::vector<int32_t> ids =
      flags.ids_file.empty() ? Tokenizer::from_gguf(model->file()).encode(read_text(flags.text_file))
                             : parse_ids(read_text(flags.ids_file), flags.ids_file);
  warn_of_long_context(*model, std::ssize(ids));
  check_writable(flags.out, FileKind::Safetensors);
  MeasuredModel measured(*model, measure_options(flags.model, {.n_ctx = std::ssize(ids)}), {&policy, 1},
                         log_notes());
  write_trace(measured.forward(), *model, ids,
              {.hidden = flags.hidden,
               .policy = measured.policy(0, Phase::Prefill),
               .cache_type = flags.model.cache.type(),
               .metadata = {{"model", describe_title(*model)},
                            {"routing", describe_routing(*model, policy)},
                            {"switchyard", SW_VERSION}}},
              flags.out);
  log::info("{}", describe_routing(*model, policy));
  log::info("wrote {}: {} tokens", flags.out, ids.size());
  return kExitOk;
}

}  // namespace

void add_trace(CLI::App& program, Action& action) {
  auto flags = std::make_shared<TraceFlags>();
  CLI::App* command = program.add_subcommand("trace", "write logits, hidden states and routing of one pass");
  command->add_option("--ids-file", flags->ids_file, "token ids separated by white space")
      ->option_text("FILE");
  command->add_option("-f,--file", flags->text_file, "a text instead of ids")->option_text("FILE");
  command->add_option("-o,--out", flags->out, "the safetensors file to write")
      ->option_text("FILE")
      ->required();
  command->add_flag("--hidden", flags->hidden, "write the hidden states too");
  add_model_flags(*command, flags->model, "f32");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
