// SPDX-License-Identifier: MIT
#include "eval/perplexity.h"

#include <chrono>
#include <fmt/core.h>
#include <memory>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/chunked_text.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/model_report.h"
#include "cli/profile_flag.h"
#include "cli/text_input.h"
#include "eval/divergence.h"
#include "eval/saved_logits.h"
#include "runtime/limits.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {
namespace {

struct PerplexityFlags {
  ModelFlags model = {};
  ChunkedText text = {};
  std::string bos = "auto";
  std::string save_logits = {}, kl_against = {};
  int64_t stride = 0;
  bool parse_special = false;
  ProfileFlag profile = {};
};

std::optional<int32_t> chunk_bos(const std::string& mode, const Tokenizer& tokenizer) {
  const bool wanted = mode == "on" || mode == "replace" || (mode == "auto" && tokenizer.add_bos());
  if (wanted && !tokenizer.bos_id()) throw Error({.what = "the model has no BOS token", .where = "--bos"});
  return wanted ? tokenizer.bos_id() : std::nullopt;
}

/// The text's tokens. BOS comes before the first, unless chunks are to put it in place of a token of the
/// text.
std::vector<int32_t> text_tokens(const PerplexityFlags& flags, const Tokenizer& tokenizer) {
  std::vector<int32_t> tokens =
      tokenizer.encode(read_text(flags.text.file), {.parse_special = flags.parse_special});
  const auto bos = flags.bos == "replace" ? std::nullopt : chunk_bos(flags.bos, tokenizer);
  if (bos) tokens.insert(tokens.begin(), *bos);
  return tokens;
}

/// Saves predictions, or compares them with saved ones.
class Predictions {
 public:
  Predictions(const PerplexityFlags& flags, const ScoredText& text)
      : log_probs_(static_cast<size_t>(text.n_vocab)), base_(log_probs_.size()) {
    if (!flags.kl_against.empty()) {
      saved_.emplace(flags.kl_against);
      saved_->check_same(text);
    }
    if (!flags.save_logits.empty()) writer_.emplace(flags.save_logits, text);
  }

  bool wanted() const { return saved_ || writer_; }
  void add(std::span<const float> logits, int32_t target) {
    log_softmax(logits, log_probs_);
    if (writer_) writer_->add(log_probs_);
    if (!saved_) return;
    saved_->read(n_row_++, base_);
    tally_.add(base_, log_probs_, target);
  }
  void finish() {
    if (writer_) writer_->finish();
    if (saved_) fmt::print("{}\n", tally_.result().to_string());
  }

 private:
  std::vector<float> log_probs_, base_;
  std::optional<SavedLogits> saved_;
  std::optional<SavedLogitsWriter> writer_;
  DivergenceTally tally_;
  int64_t n_row_ = 0;
};

using Clock = std::chrono::steady_clock;

/// ", 12 s left", for a person at a terminal.
std::string time_left(Clock::duration passed, int64_t done, int64_t all) {
  if (isatty(STDERR_FILENO) == 0 || done == all) return {};
  const double seconds = std::chrono::duration<double>(passed).count();
  return fmt::format(", {:.0f} s left",
                     seconds * static_cast<double>(all - done) / static_cast<double>(done));
}

int run(const PerplexityFlags& flags) {
  const RoutingPolicy policy = flags.model.policy();
  const std::unique_ptr<const Model> model = load_model(flags.model, {policy});
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  const std::vector<int32_t> tokens = text_tokens(flags, tokenizer);

  PerplexityOptions options{.n_ctx = flags.text.n_ctx,
                            .n_chunk = flags.text.n_chunk,
                            .stride = flags.stride,
                            .bos = chunk_bos(flags.bos, tokenizer),
                            .cache_type = flags.model.cache.type()};
  warn_of_long_context(*model, options.n_ctx);
  Predictions predictions(flags, {.n_vocab = model->hparams().n_vocab,
                                  .n_ctx = options.n_ctx,
                                  .stride = options.stride,
                                  .n_chunk = count_chunks(std::ssize(tokens), options),
                                  .bos = options.bos.value_or(-1),
                                  .tokens_hash = hash_tokens(tokens)});
  if (predictions.wanted())
    options.on_prediction = [&](std::span<const float> logits, int32_t t) { predictions.add(logits, t); };
  const int64_t n_seq = std::max<int64_t>(1, flags.model.n_ubatch / flags.text.n_ctx);
  MeasureOptions pass = measure_options(flags.model, {flags.text.n_ctx, n_seq});
  pass.forward.count_routing = flags.profile.wanted();  // tells which experts a GPU read
  MeasuredModel measured(*model, pass, {&policy, 1}, log_notes());
  options.policy = measured.policy(0, Phase::Prefill);
  log::info("{}", describe_routing(*model, policy));
  log::info("{}: {} tokens, n_ctx {}, BOS {}", flags.text.file, tokens.size(), flags.text.n_ctx,
            options.bos ? "on" : "off");
  Profile profile(measured.forward().placed());
  std::vector<ProfileDevice> devices;
  if (flags.profile.wanted()) {
    devices = begin_profile(measured.forward());
    measured.forward().set_profile(&profile);
  }
  const Clock::time_point start = Clock::now();
  const Perplexity result = measure_perplexity(
      measured.forward(), *model, tokens, options, [&](const Perplexity& so_far, int64_t n_chunk) {
        log::info("[{}/{}] {:.4f}{}", so_far.n_chunk, n_chunk, so_far.value,
                  time_left(Clock::now() - start, so_far.n_chunk, n_chunk));
      });
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  log::info("{} chunk{} of {} tokens, {} predictions scored, {:.0f} t/s", result.n_chunk,
            result.n_chunk == 1 ? "" : "s", flags.text.n_ctx, result.n_scored,
            static_cast<double>(result.n_chunk * flags.text.n_ctx) / seconds);
  if (flags.profile.wanted())
    log::info("{}", describe_profile("\nprofile", profile.summary(flags.profile.by()), devices));
  predictions.finish();
  fmt::print("Final estimate: PPL = {:.4f} +/- {:.5f}\n", result.value, result.error);
  return kExitOk;
}

}  // namespace

void add_perplexity(CLI::App& program, Action& action) {
  auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* command = program.add_subcommand("perplexity", "measure how well a model predicts a text");
  add_text_flags(*command, flags->text);
  command
      ->add_option("--bos", flags->bos,
                   "BOS before the text and as each chunk's first token: auto (as the file says), on, off; "
                   "replace: in chunks alone")
      ->check(one_of({"auto", "on", "off", "replace"}))
      ->capture_default_str();
  command
      ->add_option("--stride", flags->stride,
                   "start chunks N tokens apart and score the last N tokens of each")
      ->transform(whole_number(1, limits::kContextTokens.most));
  command->add_option("--save-logits", flags->save_logits, "write the predictions to a file")
      ->option_text("FILE");
  command
      ->add_option("--kl-against", flags->kl_against,
                   "compare the predictions with saved ones: KL divergence, top-1 agreement")
      ->option_text("FILE");
  command->add_flag("--parse-special,!--no-parse-special", flags->parse_special,
                    "find special tokens that are written in the text");
  add_profile_flag(*command, flags->profile);
  add_model_flags(*command, flags->model, "f32");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
