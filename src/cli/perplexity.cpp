// SPDX-License-Identifier: MIT
#include "eval/perplexity.h"

#include <chrono>
#include <fmt/core.h>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {
namespace {

struct PerplexityFlags {
  ModelFlags model = {};
  std::string text_file = {}, bos = "auto";
  int64_t n_ctx = 512, n_chunk = -1;
  bool no_parse_special = false;
};

std::optional<int32_t> chunk_bos(const std::string& mode, const Tokenizer& tokenizer) {
  const bool wanted = mode == "on" || (mode == "auto" && tokenizer.add_bos());
  if (wanted && !tokenizer.bos_id()) throw Error({.what = "the model has no BOS token", .where = "--bos"});
  return wanted ? tokenizer.bos_id() : std::nullopt;
}

int run(const PerplexityFlags& flags) {
  using Clock = std::chrono::steady_clock;
  const std::string text = read_file(flags.text_file);
  const std::unique_ptr<Model> model = load_model(flags.model);
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  const std::vector<int32_t> tokens = tokenizer.encode(text, {.parse_special = !flags.no_parse_special});

  const RoutingPolicy policy = flags.model.policy();
  PolicyTable policies(model->moe_layers(), model->hparams().n_layer, experts_needed(*model, policy), 2);
  ForwardOptions forward_options = flags.model.forward_options();
  forward_options.n_ctx = flags.n_ctx;
  forward_options.n_seq = std::max<int64_t>(1, forward_options.n_ubatch / flags.n_ctx);
  const Setup setup = set_up(*model, flags.model.placement,
                             {forward_options, &policies,
                              Forward::cache_spec(*model, flags.n_ctx, flags.model.kv_type(),
                                                  forward_options.n_seq, forward_options.n_ubatch)});
  forward_options.placed = setup.placed.get();
  Forward forward(*model, policies, forward_options);
  if (flags.model.explain) log::info("{}", forward.explanation());
  const PerplexityOptions options{.n_ctx = flags.n_ctx,
                                  .n_chunk = flags.n_chunk,
                                  .bos = chunk_bos(flags.bos, tokenizer),
                                  .policy = policies.resolve(policy, Phase::Prefill),
                                  .cache_type = flags.model.kv_type()};
  log::info("{}: {} tokens, n_ctx {}, BOS {}", flags.text_file, tokens.size(), flags.n_ctx,
            options.bos ? "on" : "off");
  const Clock::time_point start = Clock::now();
  const Perplexity result =
      measure_perplexity(forward, *model, tokens, options, [](const Perplexity& so_far, int64_t n_chunk) {
        log::info("[{}/{}] {:.4f}", so_far.n_chunk, n_chunk, so_far.value);
      });
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  log::info("{} chunks of {} tokens, {} predictions scored, {:.0f} t/s", result.n_chunk, flags.n_ctx,
            result.n_scored, static_cast<double>(result.n_chunk * flags.n_ctx) / seconds);
  fmt::print("Final estimate: PPL = {:.4f} +/- {:.5f}\n", result.value, result.error);
  return kExitOk;
}

}  // namespace

void add_perplexity(CLI::App& program, Action& action) {
  auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* command = program.add_subcommand("perplexity", "how well a model predicts a text");
  command->add_option("-f,--file", flags->text_file, "the text, its bytes unchanged")->required();
  command->add_option("-c,--ctx-size", flags->n_ctx, "tokens of a chunk")
      ->check(CLI::Range(int64_t{4}, int64_t{1} << 24))
      ->capture_default_str();
  command->add_option("--chunks", flags->n_chunk, "chunks at most (default: all)")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 40));
  command
      ->add_option("--bos", flags->bos,
                   "BOS in place of each chunk's first token: auto (as the file says), on, off")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command->add_flag("--no-parse-special", flags->no_parse_special,
                    "special tokens written in the text are plain text");
  add_model_flags(*command, flags->model, "f32");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
