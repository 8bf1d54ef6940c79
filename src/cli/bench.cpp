// SPDX-License-Identifier: MIT
#include <ctime>
#include <filesystem>
#include <fmt/core.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/topology.h"
#include "cli/arguments.h"
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
  int64_t n_kv_max = 0, n_decode = 0, n_round = 3;
};

std::string to_json(const SweepRow& row, const std::string& policy) {
  const nlohmann::ordered_json j = {{"policy", policy},
                                    {"n_pp", row.n_prefill},
                                    {"n_tg", row.n_decode},
                                    {"n_kv", row.n_kv},
                                    {"t_pp_s", row.prefill.median_s},
                                    {"s_pp", row.prefill_rate()},
                                    {"spread_pp", row.prefill.spread},
                                    {"t_tg_s", row.decode.median_s},
                                    {"s_tg", row.decode_rate()},
                                    {"spread_tg", row.decode.spread},
                                    {"tg_weight_bytes", row.decode_weight_bytes}};
  return j.dump();
}

/// The first columns are those of other engines' sweeps, whose scripts draw them; ours follow.
void print_head(bool named) {
  fmt::print("|    PP |     TG |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s | PP +/- | TG +/- |{}\n",
             named ? " policy |" : "");
  fmt::print("|-------|--------|--------|----------|----------|----------|----------|--------|--------|{}\n",
             named ? "---|" : "");
}

void print_row(const SweepRow& row, const std::string& policy) {
  fmt::print(
      "| {:>5} | {:>6} | {:>6} | {:>8.4f} | {:>8.2f} | {:>8.4f} | {:>8.2f} | {:>4.1f} % | {:>4.1f} % |{}\n",
      row.n_prefill, row.n_decode, row.n_kv, row.prefill.median_s, row.prefill_rate(), row.decode.median_s,
      row.decode_rate(), 100 * row.prefill.spread, 100 * row.decode.spread,
      policy.empty() ? "" : " " + policy + " |");
  std::fflush(stdout);
}

/// What a plot must say to be read later: the model, the machine and the flags that count.
std::string plot_subtitle(const BenchFlags& flags, const Model& model) {
  const int n_thread = flags.model.n_thread > 0 ? flags.model.n_thread : topology().n_core;
  char date[16] = "";
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  return fmt::format("{}; {}; -t {} -ub {}; {}", describe_title(model), cpu_facts().name, n_thread,
                     flags.model.n_ubatch, date);
}

/// A drawing is SVG, whatever its name says.
std::string check_svg_name(std::string& name) {
  const std::string extension = std::filesystem::path(name).extension();
  for (const char* other : {".png", ".jpg", ".jpeg", ".pdf", ".gif", ".webp"})
    if (extension == other)
      return "drawings are SVG: expected a name that ends with .svg, got " + printable(name, 60);
  return {};
}

int run(const BenchFlags& flags) {
  const std::vector<NamedPolicy> named = parse_policy_list(flags.compare, flags.model.policy());
  const std::vector<RoutingPolicy> policies = policies_of(named);
  const std::unique_ptr<const Model> model = load_model(flags.model, policies);
  if (!flags.plot.empty()) check_writable(flags.plot);  // before the minutes of a sweep
  const int64_t n_ctx = flags.n_kv_max > 0 ? flags.n_kv_max : std::max(1, model->hparams().n_ctx_train);
  const int64_t n_prefill = std::min<int64_t>(flags.model.n_ubatch, n_ctx);
  SweepOptions options{.n_kv_max = n_ctx,
                       .n_prefill = n_prefill,
                       .n_decode = flags.n_decode > 0 ? flags.n_decode : std::max<int64_t>(1, n_prefill / 4),
                       .policies = {},
                       .n_round = static_cast<int>(flags.n_round),
                       .cache_type = flags.model.kv_type()};
  MeasuredModel measured(*model, measure_options(flags.model, {.n_ctx = options.room()}), policies,
                         log_notes());
  Plot prefill{"Prefill", "tokens in the cache", "t/s"}, decode{"Decode", "tokens in the cache", "t/s"};
  for (size_t i = 0; i < named.size(); ++i) {
    options.policies.push_back({measured.policy(i, Phase::Prefill), measured.policy(i, Phase::Decode)});
    prefill.lines.push_back({named[i].name});
    decode.lines.push_back({named[i].name});
    log::info("{}{}", named.size() > 1 ? named[i].name + ": " : "",
              describe_routing(*model, named[i].policy));
  }
  const bool markdown = flags.format == "md";
  if (markdown) print_head(named.size() > 1);
  sweep_bench(measured.forward(), *model, options, [&](const SweepRow& row) {
    const std::string& name = named[row.policy].name;
    if (markdown) {
      print_row(row, named.size() > 1 ? name : "");
    } else {
      fmt::print("{}\n", to_json(row, name));
    }
    const auto n_kv = static_cast<double>(row.n_kv);
    prefill.lines[row.policy].points.emplace_back(n_kv, row.prefill_rate());
    decode.lines[row.policy].points.emplace_back(n_kv, row.decode_rate());
  });
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
      ->add_option("-c,--ctx-size", flags->n_kv_max,
                   "context that the sweep goes up to (default: what the model was trained for)")
      ->transform(whole_number(1, limits::kContextTokens.most));
  command
      ->add_option("--n-decode", flags->n_decode, "tokens generated in each row (default: a quarter of -ub)")
      ->transform(whole_number(1, limits::kContextTokens.most));
  command
      ->add_option("--compare", flags->compare, "policies to measure in turn: default,standard,experts=2,...")
      ->option_text("LIST")
      ->capture_default_str();
  command
      ->add_option("-r,--repetitions", flags->n_round,
                   "rounds over the policies in each row: the median counts, +/- is half of the range")
      ->transform(whole_number(1, 1000))
      ->capture_default_str();
  command->add_option("--format", flags->format, "how rows are printed: a table, or a JSON object each")
      ->check(CLI::IsMember({"md", "jsonl"}))
      ->capture_default_str();
  command->add_option("--plot", flags->plot, "draw the speeds to an SVG file")
      ->option_text("FILE")
      ->check(CLI::Validator(check_svg_name, ""));
  add_model_flags(*command, flags->model);
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
