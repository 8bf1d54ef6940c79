// SPDX-License-Identifier: MIT
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fmt/core.h>
#include <memory>
#include <optional>
#include <random>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "engine/engine.h"
#include "eval/stats_probe.h"
#include "tokenizer/stream_decoder.h"

namespace sw::cli {
namespace {

struct RunFlags {
  ModelFlags model = {};
  std::optional<std::string> prompt = {};
  std::string prompt_file = {};
  int64_t n_predict = -1;
  int64_t n_ctx = 0;
  SamplerParams sampler = {};
  std::optional<uint64_t> seed = {};
  std::optional<float> temperature = {}, top_p = {}, min_p = {};
  std::optional<int> top_k = {};
  bool routing = false, special = false, hide_prompt = false, ignore_eos = false;
};

/// Flags win over the file's recommendation, which wins over our defaults.
SamplerParams sampler_params(const RunFlags& flags, const GgufFile& file) {
  SamplerParams p = flags.sampler;
  const auto from_file = [&](const char* key, float fallback) {
    return static_cast<float>(file.get_float(key).value_or(fallback));
  };
  p.temperature = flags.temperature.value_or(from_file("general.sampling.temp", p.temperature));
  p.top_p = flags.top_p.value_or(from_file("general.sampling.top_p", p.top_p));
  p.top_k = flags.top_k.value_or(static_cast<int>(file.get_int("general.sampling.top_k").value_or(p.top_k)));
  p.min_p = flags.min_p.value_or(p.min_p);
  p.seed = flags.seed ? *flags.seed : std::random_device{}();
  return p;
}

int terminal_width() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 60) return size.ws_col;
  return 100;
}

void print_heat_map(const StatsProbe& probe) {
  const bool color = isatty(STDOUT_FILENO) != 0 && !std::getenv("NO_COLOR");
  fmt::print("\n{}", heat_map(probe.stats(), terminal_width(), color));
}

/// Tokens and seconds of the two phases.
struct Speeds {
  int64_t n_prompt = 0, n_decode = 0;
  double prefill_s = 0, decode_s = 0;

  void print(uint64_t seed) const {
    const auto rate = [](int64_t n, double s) { return s > 0 ? static_cast<double>(n) / s : 0.0; };
    log::info("prefill: {} tokens, {:.0f} t/s; decode: {} tokens, {:.0f} t/s; seed {}", n_prompt,
              rate(n_prompt, prefill_s), n_decode, rate(n_decode, decode_s), seed);
  }
};

std::string read_prompt(const RunFlags& flags) {
  if (flags.prompt) return *flags.prompt;
  return read_file(flags.prompt_file);
}

int run(const RunFlags& flags) {
  using Clock = std::chrono::steady_clock;
  if (!flags.prompt && flags.prompt_file.empty()) {
    throw CLI::ValidationError("run", "there is no prompt: -p PROMPT or -f FILE");
  }
  const std::unique_ptr<Model> model = load_model(flags.model);
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  Engine engine(*model, {.forward = flags.model.forward_options(),
                         .n_ctx = flags.n_ctx,
                         .cache_type = flags.model.kv_type(),
                         .default_policy = flags.model.policy()});
  if (flags.model.explain) log::info("{}", engine.forward().explanation());
  if (engine.n_ctx() > model->hparams().n_ctx_train) {
    log::warn("the context of {} tokens is longer than the model was trained for ({})", engine.n_ctx(),
              model->hparams().n_ctx_train);
  }
  const std::string prompt = read_prompt(flags);
  SamplerParams sampler = sampler_params(flags, model->file());
  if (flags.ignore_eos) {
    for (const int32_t end : tokenizer.end_of_generation()) sampler.logit_bias.push_back({end, -INFINITY});
  }
  const std::vector<int32_t> ids = tokenizer.encode(prompt, {.parse_special = true, .add_special = true});
  const SequenceId id = engine.submit({.prompt = ids,
                                       .n_predict = flags.n_predict,
                                       .end_ids = tokenizer.end_of_generation(),
                                       .sampler = sampler});
  StatsProbe probe(*model, engine.policies().experts_max());
  StreamDecoder decoder(tokenizer, !flags.special);
  catch_interrupt();
  if (!flags.hide_prompt) std::fwrite(prompt.data(), 1, prompt.size(), stdout);

  Speeds speeds{.n_prompt = static_cast<int64_t>(ids.size())};
  bool prefill = true;
  while (!engine.idle()) {
    if (interrupted()) engine.cancel(id);
    const Clock::time_point start = Clock::now();
    const std::span<const StepEvent> events = engine.step(flags.routing ? &probe : nullptr);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    (prefill ? speeds.prefill_s : speeds.decode_s) += seconds;
    for (const StepEvent& event : events) {
      if (event.token < 0) continue;
      if (!prefill) ++speeds.n_decode;
      prefill = false;  // the step that ends the prompt also gives the first token
      if (event.finish == Finish::Stop && !flags.special) continue;
      const std::string text = decoder.push(event.token);
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    }
  }
  const std::string rest = decoder.finish();
  fmt::print("{}\n", rest);
  if (flags.routing) print_heat_map(probe);
  std::fflush(stdout);
  speeds.print(sampler.seed);
  return kExitOk;
}

}  // namespace

void add_run(CLI::App& program, Action& action) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = program.add_subcommand("run", "go on with a prompt");
  command->add_option("-p,--prompt", flags->prompt, "the text to go on with");
  command->add_option("-f,--file", flags->prompt_file, "the same from a file, its bytes unchanged")
      ->excludes("--prompt");
  command
      ->add_option("-n,--predict,--n-predict", flags->n_predict,
                   "tokens to generate (default: until the context is full)")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30));
  command
      ->add_option("-c,--ctx-size", flags->n_ctx,
                   "tokens of context (default: what the model was trained for)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 24));
  command->add_option("-s,--seed", flags->seed, "the same seed gives the same text (default: random)");
  command->add_option("--temp", flags->temperature, "temperature; 0: always the best token");
  command->add_option("--top-k", flags->top_k, "only the K best tokens; 0: off");
  command->add_option("--top-p", flags->top_p, "only the best tokens that make up P together; 1: off");
  command->add_option("--min-p", flags->min_p,
                      "only tokens at least P times as probable as the best; 0: off");
  command->add_flag("--ignore-eos", flags->ignore_eos,
                    "never choose an end token: go on until -n or the context ends it");
  command->add_flag("--routing", flags->routing, "end with a heat map of layers x experts");
  command->add_flag("--special", flags->special, "print special tokens too");
  command->add_flag("--no-display-prompt", flags->hide_prompt, "print only what was generated");
  add_model_flags(*command, flags->model);
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
