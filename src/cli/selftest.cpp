// SPDX-License-Identifier: MIT
#include <cmath>
#include <fmt/core.h>
#include <memory>

#include "base/cpu.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "eval/perplexity.h"
#include "kernels/self_check.h"
#include "runtime/runtime.h"
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

double perplexity_with(const Model& model, const Tokenizer& tokenizer, MeasureOptions options) {
  options.forward.n_ubatch = options.n_ctx = kChunk;
  options.cache_type = Type::F32;
  const RoutingPolicy own;
  MeasuredModel measured(model, options, {&own, 1}, log_notes());
  const std::vector<int32_t> tokens = tokenizer.encode(kText);
  return measure_perplexity(measured.forward(), model, tokens, {.n_ctx = kChunk, .n_chunk = 1}).value;
}

/// The fast kernels and the references must find about the same perplexity.
void check_perplexity(const Model& model, const Tokenizer& tokenizer, const ModelFlags& flags,
                      Result& result) {
  MeasureOptions options = measure_options(flags, {.n_ctx = kChunk});
  const double fast = perplexity_with(model, tokenizer, options);
  options.forward.references = true;
  options.devices = {.devices = "none"};
  const double reference = perplexity_with(model, tokenizer, options);
  const bool ok = std::abs(fast / reference - 1) < 0.03;
  result.add("perplexity, one chunk", ok, fmt::format("{:.3f}, references {:.3f}", fast, reference));
}

void check_generation(const Model& model, const Tokenizer& tokenizer, const ModelFlags& flags,
                      Result& result) {
  Runtime runtime(
      model,
      {.devices = flags.placement.options(),
       .engine = {.forward = flags.forward_options(), .n_ctx = 2 * kChunk, .cache_type = flags.cache.type()}},
      log_notes());
  Engine& engine = runtime.engine();
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
  if (flags.policy() != RoutingPolicy{})
    log::warn("the routing flags have no effect here: selftest checks the model's own routing");
  Result result;
  check_all_kernels(result);
  const std::unique_ptr<const Model> model = load_model(flags, {flags.policy()});
  result.add("load", true, fmt::format("{}, {:.1f} MiB", model->file().name(), mib(model->weight_bytes())));
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  check_perplexity(*model, tokenizer, flags, result);
  check_generation(*model, tokenizer, flags, result);
  fmt::print("{} passed, {} failed, {} skipped\n", result.passed, result.failed, result.skipped);
  return result.failed == 0 ? kExitOk : kExitSystem;
}

}  // namespace

void add_selftest(CLI::App& program, Action& action) {
  auto flags = std::make_shared<ModelFlags>();
  CLI::App* command =
      program.add_subcommand("selftest", "check that this machine computes the right results");
  add_model_flags(*command, *flags);
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
