// SPDX-License-Identifier: MIT
#include "runtime/generate.h"

#include <chrono>
#include <fmt/core.h>
#include <utility>

namespace sw {
namespace {

using Clock = std::chrono::steady_clock;

/// A text under way: the engine's events become text and speeds.
class Generation {
 public:
  Generation(Engine& engine, const Tokenizer& tokenizer, const GenerateOptions& options, Speeds& speeds)
      : engine_(engine),
        options_(options),
        speeds_(speeds),
        stream_(tokenizer, options.text, [this](std::string_view text, bool reasoning) {
          (reasoning ? result_.reasoning : result_.text) += text;
          if (options_.sink) options_.sink(text, reasoning);
        }) {}

  /// Runs a request to its end.
  void run(const SequenceRequest& request) {
    const SequenceId id = engine_.submit(request);
    prefill_ = true;
    uint64_t n_done = 0;
    const bool begins = ids_.empty();  // later the text is under way
    while (!engine_.idle()) {
      profile_next();
      const bool interrupted = options_.interrupted && options_.interrupted();
      if (interrupted || stream_.stopped()) engine_.cancel(id);
      const Clock::time_point start = Clock::now();
      const std::span<const StepEvent> events = step(id);
      (prefill_ ? speeds_.prefill_s : speeds_.decode_s) +=
          std::chrono::duration<double>(Clock::now() - start).count();
      if (prefill_) {
        speeds_.n_prompt += engine_.n_computed();
        n_done += static_cast<uint64_t>(engine_.n_computed());
        const auto n_left = events.empty() ? static_cast<uint64_t>(engine_.n_to_compute()) : 0;
        if (begins && options_.on_prompt) options_.on_prompt(n_done, n_done + n_left);  // before any text
        if (begins && options_.after_prompt && !events.empty() && events.front().token >= 0)
          options_.after_prompt(static_cast<int64_t>(n_done));
      }
      for (const StepEvent& event : events) take(event);
    }
    engine_.forward().set_profile(nullptr);
  }
  const std::vector<int32_t>& ids() const { return ids_; }
  Generated& result() { return result_; }
  void finish() {
    stream_.finish();
    result_.n_token = std::ssize(ids_);
  }

 private:
  void profile_next() {
    PhaseProfiles* profiles = options_.profiles;
    if (profiles) engine_.forward().set_profile(prefill_ ? &profiles->prefill : &profiles->decode);
  }
  /// A step that is ended in the middle is nobody's.
  std::span<const StepEvent> step(SequenceId id) {
    try {
      return engine_.step();
    } catch (const Interrupted&) {
      engine_.cancel(id);
      return engine_.step();
    }
  }
  void take(const StepEvent& event) {
    if (event.finish != Finish::None) result_.finish = stream_.stopped() ? Finish::Stop : event.finish;
    if (event.finish == Finish::Error) result_.error = event.error;
    if (event.token < 0) return;
    ids_.push_back(event.token);
    if (!prefill_) ++speeds_.n_decode;
    prefill_ = false;  // the step that ends the prompt also gives the first token
    if (event.finish != Finish::Stop || options_.text.special) stream_.push(event.token);
  }

  Engine& engine_;
  const GenerateOptions& options_;
  Speeds& speeds_;
  Generated result_;
  TextStream stream_;
  std::vector<int32_t> ids_;
  bool prefill_ = true;
};

}  // namespace

std::string Speeds::to_string() const {
  const auto rate = [](int64_t n, double s) { return s > 0 ? static_cast<double>(n) / s : 0.0; };
  const auto tokens = [](int64_t n) { return fmt::format("{} token{}", n, n == 1 ? "" : "s"); };
  return fmt::format("prefill: {}, {:.0f} t/s; decode: {}, {:.0f} t/s", tokens(n_prompt),
                     rate(n_prompt, prefill_s), tokens(n_decode), rate(n_decode, decode_s));
}

Generated generate(Engine& engine, const Tokenizer& tokenizer, SequenceRequest request,
                   const GenerateOptions& options, Speeds& speeds) {
  Generation generation(engine, tokenizer, options, speeds);
  Generated& result = generation.result();
  for (const int64_t n_wanted = request.n_predict;;) {
    const int64_t n_before = std::ssize(generation.ids());
    generation.run(request);
    const int64_t n = std::ssize(generation.ids());
    result.tokens = request.prompt;
    result.tokens.insert(result.tokens.end(), generation.ids().begin() + n_before, generation.ids().end());
    result.n_prompt = std::ssize(request.prompt);
    result.context_full = result.finish == Finish::Length && (n_wanted < 0 || n < n_wanted);
    if (!result.context_full || !options.make_room) break;
    request.prompt = options.make_room(generation.ids());
    if (request.prompt.empty()) break;
    if (n_wanted >= 0) request.n_predict = n_wanted - n;
    ++request.sampler.seed;  // not the same random numbers again
  }
  generation.finish();
  return std::move(result);
}

}  // namespace sw
