// SPDX-License-Identifier: MIT
#include <cmath>
#include <fmt/core.h>
#include <memory>

#include "base/cpu.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "engine/engine.h"
#include "eval/perplexity.h"
#include "kernels/self_check.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {
namespace {

constexpr const char* kText =
    "Once upon a time there was a little fox who lived at the edge of a great wood. Every morning she ran "
    "down to the "
    "river to drink, and every evening she sat upon the hill and looked at the stars. One day an old hare "
    "came by. "
    "\"Why do you look so sad?\" he asked. \"I should like to know,\" said the fox, \"what lies on the other "
    "side of "
    "the mountains.\" \"Then let us go and see,\" said the hare, and they set out together before the sun "
    "was up.";
constexpr int64_t kChunk = 64;
constexpr int kTokens = 32;

/// Counts of passed, failed and skipped checks, each printed as it comes.
struct Result {
  int passed = 0, failed = 0, skipped = 0;

  void add(const std::string& what, bool ok, const std::string& detail) {
    ++(ok ? passed : failed);
    fmt::print("{} {:<28} {}\n", ok ? "ok  " : "FAIL", what, detail);
  }
};

void check_all_kernels(Result& result) {
  for (const KernelCheck& check : check_kernels()) {
    if (check.skipped.empty()) {
      result.add(check.what, check.ok(),
                 fmt::format("error {:.1e} of at most {:.0e}", check.error, check.bound));
    } else {
      ++result.skipped;
      fmt::print("skip {:<28} {}\n", check.what, check.skipped);
    }
  }
}

double perplexity_with(const Model& model, const Tokenizer& tokenizer, const PlacementFlags& placement,
                       ForwardOptions options) {
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model, {}), 1);
  options.n_ubatch = options.n_ctx = kChunk;
  const Setup setup =
      set_up(model, placement, {options, &policies, Forward::cache_plan(model, kChunk, Type::F32)});
  options.placed = setup.placed.get();
  Forward forward(model, policies, options);
  const std::vector<int32_t> tokens = tokenizer.encode(kText);
  return measure_perplexity(forward, model, tokens, {.n_ctx = kChunk, .n_chunk = 1}).value;
}

/// The fast kernels and the references must find about the same perplexity.
void check_perplexity(const Model& model, const Tokenizer& tokenizer, const ModelFlags& flags,
                      Result& result) {
  ForwardOptions options = flags.forward_options();
  const double fast = perplexity_with(model, tokenizer, flags.placement, options);
  options.references = true;
  const double reference = perplexity_with(model, tokenizer, {.device = "none"}, options);
  const bool ok = std::abs(fast / reference - 1) < 0.03;
  result.add("perplexity, one chunk", ok, fmt::format("{:.3f}, references {:.3f}", fast, reference));
}

void check_generation(const Model& model, const Tokenizer& tokenizer, const ModelFlags& flags,
                      Result& result) {
  EngineOptions options{
      .forward = flags.forward_options(), .n_ctx = 2 * kChunk, .cache_type = flags.kv_type()};
  const Setup setup = set_up(model, flags.placement, options);
  Engine engine(model, options);
  SequenceRequest request{.prompt = tokenizer.encode("Once upon a time", {.add_special = true}),
                          .n_predict = kTokens};
  request.sampler.temperature = 0;
  engine.submit(std::move(request));
  std::vector<int32_t> ids;
  std::string error;
  while (!engine.idle()) {
    for (const StepEvent& event : engine.step()) {
      if (event.token >= 0) ids.push_back(event.token);
      error += event.error;
    }
  }
  result.add("32 tokens", ids.size() == kTokens,
             error.empty() ? '"' + printable(tokenizer.decode(ids), 60) + '"' : error);
}

int run(const ModelFlags& flags) {
  Result result;
  check_all_kernels(result);
  const std::unique_ptr<Model> model = load_model(flags);
  result.add("load", true,
             fmt::format("{}, {:.1f} MiB", model->file().name(),
                         static_cast<double>(model->weight_bytes()) / (1 << 20)));
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  check_perplexity(*model, tokenizer, flags, result);
  check_generation(*model, tokenizer, flags, result);
  fmt::print("{} passed, {} failed, {} skipped\n", result.passed, result.failed, result.skipped);
  return result.failed == 0 ? kExitOk : kExitSystem;
}

}  // namespace

void add_selftest(CLI::App& program, Action& action) {
  auto flags = std::make_shared<ModelFlags>();
  CLI::App* command = program.add_subcommand("selftest", "see that this machine computes what it should");
  add_model_flags(*command, *flags);
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
