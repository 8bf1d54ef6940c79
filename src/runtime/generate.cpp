// SPDX-License-Identifier: MIT
#include "runtime/generate.h"

#include <chrono>
#include <fmt/core.h>
#include <utility>

namespace sw {

std::string Speeds::to_string() const {
  const auto rate = [](int64_t n, double s) { return s > 0 ? static_cast<double>(n) / s : 0.0; };
  return fmt::format("prefill: {} tokens, {:.0f} t/s; decode: {} tokens, {:.0f} t/s", n_prompt,
                     rate(n_prompt, prefill_s), n_decode, rate(n_decode, decode_s));
}

Generated generate(Engine& engine, const Tokenizer& tokenizer, SequenceRequest request,
                   const GenerateOptions& options, Speeds& speeds) {
  using Clock = std::chrono::steady_clock;
  Generated result;
  TextStream stream(tokenizer, options.text, [&](std::string_view text, bool reasoning) {
    (reasoning ? result.reasoning : result.text) += text;
    if (options.sink) options.sink(text, reasoning);
  });
  const SequenceId id = engine.submit(std::move(request));
  bool prefill = true;
  while (!engine.idle()) {
    const bool interrupted = options.interrupted && options.interrupted();
    if (interrupted || stream.stopped()) engine.cancel(id);
    const Clock::time_point start = Clock::now();
    const std::span<const StepEvent> events = engine.step();
    (prefill ? speeds.prefill_s : speeds.decode_s) +=
        std::chrono::duration<double>(Clock::now() - start).count();
    if (prefill) speeds.n_prompt += engine.n_computed();
    for (const StepEvent& event : events) {
      if (event.finish != Finish::None) result.finish = stream.stopped() ? Finish::Stop : event.finish;
      if (event.finish == Finish::Error) result.error = event.error;
      if (event.token < 0) continue;
      if (!prefill) ++speeds.n_decode;
      prefill = false;  // the step that ends the prompt also gives the first token
      if (event.finish != Finish::Stop || options.text.special) stream.push(event.token);
    }
  }
  stream.finish();
  return result;
}

}  // namespace sw
