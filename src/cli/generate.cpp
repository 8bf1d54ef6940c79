// SPDX-License-Identifier: MIT
#include "cli/generate.h"

#include <chrono>
#include <fmt/core.h>
#include <utility>

#include "chat/reasoning.h"
#include "chat/stop_strings.h"
#include "cli/interrupt.h"
#include "tokenizer/stream_decoder.h"

namespace sw::cli {
namespace {

/// Special tokens are not shown, but the tags around reasoning are read.
bool is_shown(const Tokenizer& tokenizer, int32_t id, bool special) {
  const std::string_view piece = tokenizer.piece(id);
  return special || !tokenizer.is_special(id) || piece == "<think>" || piece == "</think>";
}

/// From token ids to text: decode, split reasoning, look for stop strings in the answer.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, const GenerateOptions& options, Generated& result)
      : tokenizer_(tokenizer),
        options_(options),
        result_(result),
        decoder_(tokenizer),
        stops_(options.stops),
        splitter_([this](std::string_view text, bool reasoning) { take(text, reasoning); },
                  options.begins_reasoning) {}

  void push(int32_t id) {
    if (is_shown(tokenizer_, id, options_.special)) splitter_.push(decoder_.push(id));
  }
  bool stopped() const { return stops_.stopped(); }
  void finish() {
    splitter_.push(decoder_.finish());
    splitter_.finish();
    show(stops_.finish(), false);
  }

 private:
  void take(std::string_view text, bool reasoning) {
    show(reasoning ? std::string(text) : stops_.push(text), reasoning);
  }
  void show(const std::string& text, bool reasoning) {
    if (text.empty()) return;
    (reasoning ? result_.reasoning : result_.text) += text;
    if (options_.sink) options_.sink(text, reasoning);
  }

  const Tokenizer& tokenizer_;
  const GenerateOptions& options_;
  Generated& result_;
  StreamDecoder decoder_;
  StopStrings stops_;
  ReasoningSplitter splitter_;
};

}  // namespace

std::string Speeds::to_string() const {
  const auto rate = [](int64_t n, double s) { return s > 0 ? static_cast<double>(n) / s : 0.0; };
  return fmt::format("prefill: {} tokens, {:.0f} t/s; decode: {} tokens, {:.0f} t/s", n_prompt,
                     rate(n_prompt, prefill_s), n_decode, rate(n_decode, decode_s));
}

Generated generate(Engine& engine, const Tokenizer& tokenizer, SequenceRequest request,
                   const GenerateOptions& options, Speeds& speeds) {
  using Clock = std::chrono::steady_clock;
  Generated result;
  TextStream stream(tokenizer, options, result);
  const SequenceId id = engine.submit(std::move(request));
  bool prefill = true;
  while (!engine.idle()) {
    if (interrupted() || stream.stopped()) engine.cancel(id);
    const Clock::time_point start = Clock::now();
    const std::span<const StepEvent> events = engine.step(options.probe);
    (prefill ? speeds.prefill_s : speeds.decode_s) +=
        std::chrono::duration<double>(Clock::now() - start).count();
    if (prefill) speeds.n_prompt += engine.n_computed();
    for (const StepEvent& event : events) {
      if (event.finish != Finish::None) result.finish = stream.stopped() ? Finish::Stop : event.finish;
      if (event.finish == Finish::Error) result.error = event.error;
      if (event.token < 0) continue;
      if (!prefill) ++speeds.n_decode;
      prefill = false;  // the step that ends the prompt also gives the first token
      if (event.finish != Finish::Stop || options.special) stream.push(event.token);
    }
  }
  stream.finish();
  return result;
}

}  // namespace sw::cli
