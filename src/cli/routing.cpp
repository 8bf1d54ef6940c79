// SPDX-License-Identifier: MIT
#include <filesystem>
#include <fmt/core.h>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "cli/chunked_text.h"
#include "cli/command.h"
#include "cli/model_report.h"
#include "cli/run_flags.h"
#include "cli/text_input.h"
#include "eval/routing_report.h"

namespace sw::cli {
namespace {

struct RoutingFlags {
  ModelFlags model = {};
  ChunkedText text = {};
  std::string compare = {}, out = {}, svg = {}, trace = {};
};

constexpr int64_t kSpeedTokens = 64;  // generated for a row of the comparison
constexpr int kSpeedRounds = 3;

int compare(const RoutingFlags& flags, std::span<const NamedPolicy> named, const Model& model,
            std::span<const int32_t> tokens, const PerplexityOptions& options) {
  const std::vector<RoutingPolicy> policies = policies_of(named);
  MeasuredModel measured(model, measure_options(flags.model, {flags.text.n_ctx + kSpeedTokens}), policies,
                         log_notes());
  std::vector<ResolvedPolicy> resolved;
  for (size_t i = 0; i < named.size(); ++i)
    resolved.push_back(
        {named[i].name, {measured.policy(i, Phase::Prefill), measured.policy(i, Phase::Decode)}});
  const SweepOptions speed{.n_kv_max = flags.text.n_ctx,
                           .n_prefill = flags.text.n_ctx,
                           .n_decode = kSpeedTokens,
                           .n_round = kSpeedRounds,
                           .cache_type = flags.model.cache.type()};
  const std::vector<PolicyRow> rows =
      compare_policies(measured.forward(), model, tokens, options, resolved, speed,
                       [](int64_t done, int64_t all) { log::info("[{}/{}]", done, all); });
  for (const RoutingPolicy& policy : policies) log::info("{}", describe_routing(model, policy));
  fmt::print("{}", comparison_table(rows));
  for (const PolicyRow& grouped : rows) {
    for (const PolicyRow& standard : rows) {
      if (grouped.name != "default" || standard.name != "standard") continue;
      if (const auto jump = perplexity_jump(grouped, standard)) log::warn("{}", *jump);
    }
  }
  return kExitOk;
}

/// One output would replace another.
void refuse_equal_outputs(const RoutingFlags& flags) {
  const auto same = [](const std::string& a, const std::string& b) {
    namespace fs = std::filesystem;
    return !a.empty() && !b.empty() &&
           fs::weakly_canonical(fs::absolute(a)) == fs::weakly_canonical(fs::absolute(b));
  };
  const std::string* twice = same(flags.svg, flags.out) || same(flags.svg, flags.trace) ? &flags.svg
                             : same(flags.out, flags.trace)                             ? &flags.out
                                                                                        : nullptr;
  if (!twice) return;
  throw Error({.what = "two outputs have one name",
               .where = "-o, --svg, --trace",
               .expected = "a file for each",
               .got = *twice});
}

int watch(const RoutingFlags& flags, const RoutingPolicy& policy, const Model& model,
          std::span<const int32_t> tokens, const PerplexityOptions& wanted) {
  // What cannot be read or written is refused before the text is computed.
  refuse_equal_outputs(flags);
  const StatsOrigin origin{.model = describe_title(model), .policy = describe_routing(model, policy)};
  if (std::filesystem::exists(flags.out)) read_stats(flags.out, origin, model.moe_layers());
  for (const std::string& path : {flags.out, flags.svg})
    if (!path.empty()) check_writable(path);
  if (!flags.trace.empty()) check_writable(flags.trace, FileKind::Safetensors);
  MeasureOptions counted = measure_options(flags.model, {flags.text.n_ctx});
  counted.forward.count_routing = true;
  MeasuredModel measured(model, counted, {&policy, 1}, log_notes());
  RoutingTrace trace(model.moe_layers());
  PerplexityOptions options = wanted;
  options.policy = measured.policy(0, Phase::Prefill);
  if (!flags.trace.empty()) options.probe = &trace;
  const Perplexity perplexity = measure_perplexity(
      measured.forward(), model, tokens, options,
      [](const Perplexity& so_far, int64_t all) { log::info("[{}/{}]", so_far.n_chunk, all); });
  RoutingStats all = measured.forward().routing_stats();
  if (!flags.out.empty()) {
    if (std::filesystem::exists(flags.out)) {
      all.merge(read_stats(flags.out, origin, model.moe_layers()));
      log::info("{}: added to what earlier runs counted", flags.out);
    }
    write_stats(all, origin, flags.out);
  }
  if (!flags.svg.empty()) {
    AtomicFile file(flags.svg);
    file.write(heat_map_svg(all, origin.model + ", " + origin.policy));
    file.commit();
  }
  if (!flags.trace.empty()) trace.write(flags.trace);
  fmt::print("{}\n{}", stats_table(all), draw_heat_map(all));
  log::info("{}", describe_routing(model, policy));
  log::info("perplexity of the text: {:.4f}", perplexity.value);
  return kExitOk;
}

int run(const RoutingFlags& flags) {
  const std::string text = read_text(flags.text.file);
  const RoutingPolicy policy = flags.model.policy();
  std::vector<NamedPolicy> named;
  if (!flags.compare.empty()) named = parse_policy_list(flags.compare, policy);
  const std::unique_ptr<const Model> model =
      load_model(flags.model, named.empty() ? std::vector{policy} : policies_of(named));
  if (model->moe_layers().empty())
    throw Error({.what = "the model has no experts", .where = model_path(flags.model.model).string()});
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  const std::vector<int32_t> tokens = tokenizer.encode(text, {.parse_special = true});
  PerplexityOptions options{
      .n_ctx = flags.text.n_ctx, .n_chunk = flags.text.n_chunk, .cache_type = flags.model.cache.type()};
  if (tokenizer.add_bos()) options.bos = tokenizer.bos_id();
  return named.empty() ? watch(flags, policy, *model, tokens, options)
                       : compare(flags, named, *model, tokens, options);
}

}  // namespace

void add_routing(CLI::App& program, Action& action) {
  auto flags = std::make_shared<RoutingFlags>();
  CLI::App* command =
      program.add_subcommand("routing", "show which experts a text uses, and what other policies cost");
  add_text_flags(*command, flags->text);
  CLI::Option* compared = command->add_option(
      "--compare", flags->compare,
      "policies side by side, the first is the base: default,standard,experts=2,threshold=1:0.3,...");
  compared->option_text("LIST");
  command->add_option("-o,--out", flags->out, "statistics as JSON, added to what the file holds")
      ->option_text("FILE")
      ->excludes(compared);
  command->add_option("--svg", flags->svg, "the heat map as a drawing")
      ->option_text("FILE")
      ->excludes(compared);
  command->add_option("--trace", flags->trace, "every token's experts and weights as safetensors")
      ->option_text("FILE")
      ->excludes(compared);
  add_model_flags(*command, flags->model, "f32");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
