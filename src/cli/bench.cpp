// SPDX-License-Identifier: MIT
#include <ctime>
#include <filesystem>
#include <fmt/core.h>
#include <memory>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/topology.h"
#include "cli/arguments.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/model_report.h"
#include "eval/plot.h"
#include "eval/sweep_bench.h"
#include "runtime/limits.h"

namespace sw::cli {
namespace {

struct BenchFlags {
  ModelFlags model = {};
  std::string format = "md", plot = {}, compare = "default";
  int64_t n_kv_max = 0, n_prompt = 0, n_decode = 0, n_seq = 1, n_round = 3;
  bool mix = false;
  ProfileFlag profile = {};
};

/// What a plot must say to be read later: the model, the machine and the flags that count.
std::string plot_subtitle(const BenchFlags& flags, const Model& model) {
  const int n_thread = flags.model.n_thread > 0 ? flags.model.n_thread : topology().n_core;
  char date[16] = "";
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  const std::string batch = flags.n_seq > 1 ? fmt::format(" --batch {}", flags.n_seq) : "";
  return fmt::format("{}; {}; -t {} -ub {}{}; {}", describe_title(model), cpu_facts().name, n_thread,
                     flags.model.n_ubatch, batch, date);
}

/// A drawing is SVG, whatever its name says.
std::string check_svg_name(std::string& name) {
  const std::string extension = std::filesystem::path(name).extension();
  for (const char* other : {".png", ".jpg", ".jpeg", ".pdf", ".gif", ".webp"})
    if (extension == other)
      return "drawings are SVG: expected a name that ends with .svg, got " + printable(name, 60);
  return {};
}

/// What the model has no say in.
void check(const BenchFlags& flags, size_t n_policy) {
  if (flags.n_seq > flags.model.n_ubatch) {
    throw Error({.what = "a u-batch has no room for a token of each sequence",
                 .where = "--batch",
                 .expected = fmt::format("at most {}, as -ub", flags.model.n_ubatch),
                 .got = std::to_string(flags.n_seq)});
  }
  if (!flags.mix) return;
  if (flags.n_seq < 2) {
    throw Error({.what = "one sequence has one policy",
                 .where = "--mix",
                 .expected = "--batch 2 or more",
                 .got = "--batch " + std::to_string(flags.n_seq)});
  }
  if (n_policy < 2) {
    throw Error({.what = "there is nothing to mix",
                 .where = "--mix",
                 .expected = "two policies or more in --compare",
                 .got = flags.compare});
  }
}

SweepOptions sweep_options(const BenchFlags& flags, const Model& model) {
  const int64_t n_ctx = flags.n_kv_max > 0 ? flags.n_kv_max : std::max(1, model.hparams().n_ctx_train);
  const int64_t n_prefill =
      flags.n_prompt > 0 ? flags.n_prompt : std::min<int64_t>(flags.model.n_ubatch, n_ctx);
  return {.n_kv_max = n_ctx,
          .n_prefill = n_prefill,
          .n_decode = flags.n_decode > 0
                          ? flags.n_decode
                          : std::max<int64_t>(1, std::min<int64_t>(n_prefill, flags.model.n_ubatch) / 4),
          .n_seq = flags.n_seq,
          .policies = {},
          .mix = flags.mix,
          .n_round = static_cast<int>(flags.n_round),
          .cache_type = flags.model.cache.type(),
          .profile = flags.profile.wanted() ? std::optional(flags.profile.by()) : std::nullopt};
}

/// A pass over the sequences of a sweep.
MeasureOptions pass_options(const BenchFlags& flags, const SweepOptions& sweep) {
  MeasureOptions options = measure_options(flags.model, {.n_ctx = sweep.room(), .n_seq = sweep.n_seq});
  options.n_ahead = sweep.n_ahead();
  options.forward.n_logit_row = std::max(options.forward.n_logit_row, sweep.n_seq);
  options.forward.count_routing = sweep.profile.has_value();  // tells which experts a GPU read
  return options;
}

int run(const BenchFlags& flags) {
  const std::vector<NamedPolicy> named = parse_policy_list(flags.compare, flags.model.policy());
  check(flags, named.size());
  const std::vector<RoutingPolicy> policies = policies_of(named);
  const std::unique_ptr<const Model> model = load_model(flags.model, policies);
  if (!flags.plot.empty()) check_writable(flags.plot);  // before the minutes of a sweep
  SweepOptions options = sweep_options(flags, *model);
  MeasuredModel measured(*model, pass_options(flags, options), policies, log_notes());
  std::vector<std::string> names;
  for (size_t i = 0; i < named.size(); ++i) {
    options.policies.push_back({measured.policy(i, Phase::Prefill), measured.policy(i, Phase::Decode)});
    names.push_back(named[i].name);
    log::info("{}{}", named.size() > 1 ? named[i].name + ": " : "",
              describe_routing(*model, named[i].policy));
  }
  if (flags.mix) {
    names.emplace_back("mix");
    log::info("mix: the sequences of a batch take these policies in turn");
  }
  Plot prefill{"Prefill", "tokens in the cache", "t/s"}, decode{"Decode", "tokens in the cache", "t/s"};
  for (const std::string& name : names) {
    prefill.lines.push_back({name});
    decode.lines.push_back({name});
  }
  BenchReport::Options shown{
      .markdown = flags.format == "md", .names = names, .mix = flags.mix, .n_seq = flags.n_seq};
  if (options.profile) shown.devices = begin_profile(measured.forward());
  BenchReport report(std::move(shown));
  report.begin();
  sweep_bench(measured.forward(), *model, options, [&](const SweepRow& row) {
    report.add(row);
    const auto n_kv = static_cast<double>(row.n_kv);
    prefill.lines[row.policy].points.emplace_back(n_kv, row.prefill_rate());
    decode.lines[row.policy].points.emplace_back(n_kv, row.decode_rate());
  });
  report.end();
  if (!flags.plot.empty()) {
    AtomicFile file(flags.plot);
    file.write(draw_plots(std::vector<Plot>{prefill, decode}, plot_subtitle(flags, *model)));
    file.commit();
  }
  return kExitOk;
}

}  // namespace

void add_bench(CLI::App& program, Action& action) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = program.add_subcommand("bench", "measure speed while the context fills");
  command
      ->add_option(
          "-c,--ctx-size", flags->n_kv_max,
          "context of a sequence that the sweep goes up to (default: what the model was trained for)")
      ->transform(whole_number(1, limits::kContextTokens.most));
  command
      ->add_option("--n-prompt", flags->n_prompt,
                   "tokens of each row's prompt, computed in u-batches (default: one u-batch)")
      ->transform(whole_number(1, limits::kContextTokens.most));
  command
      ->add_option("--n-decode", flags->n_decode,
                   "tokens generated in each row (default: a quarter of -pp or of -ub, whichever is less)")
      ->transform(whole_number(1, limits::kContextTokens.most));
  command
      ->add_option("--batch", flags->n_seq,
                   "sequences at once, each with a context of -c tokens: speeds are those of all together")
      ->transform(range(limits::kParallel))
      ->capture_default_str();
  command
      ->add_option("--compare", flags->compare, "policies to measure in turn: default,standard,experts=2,...")
      ->option_text("LIST")
      ->capture_default_str();
  command->add_flag("--mix", flags->mix,
                    "measure the policies of --compare in one batch too: its sequences take them in turn");
  command
      ->add_option("-r,--repetitions", flags->n_round,
                   "rounds over the policies in each row: the median counts, +/- is half of the range")
      ->transform(whole_number(1, 1000))
      ->capture_default_str();
  command->add_option("--format", flags->format, "how rows are printed: a table, or a JSON object each")
      ->check(one_of({"md", "jsonl"}))
      ->capture_default_str();
  add_profile_flag(*command, flags->profile);
  command->add_option("--plot", flags->plot, "draw the speeds to an SVG file")
      ->option_text("FILE")
      ->check(CLI::Validator(check_svg_name, ""));
  add_model_flags(*command, flags->model);
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
