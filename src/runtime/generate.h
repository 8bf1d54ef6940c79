// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "chat/text_stream.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace sw {

/// Tokens and seconds of the two phases, summed over generations.
struct Speeds {
  int64_t n_prompt = 0, n_decode = 0;
  double prefill_s = 0, decode_s = 0;

  /// "prefill: 4 tokens, 3800 t/s; decode: 199 tokens, 3100 t/s"
  std::string to_string() const;
};

/// Where the time of the two phases goes, summed over generations.
struct PhaseProfiles {
  Profile prefill, decode;

  explicit PhaseProfiles(const PlacedModel& placed) : prefill(placed), decode(placed) {}
};

struct GenerateOptions {
  TextStreamOptions text = {};
  TextStream::Sink sink = {};              ///< gets the text as it comes; may be null
  std::function<bool()> interrupted = {};  ///< asked before each step: true ends the text; may be null
  /// Told after each step of the prompt: its tokens done, of those that were not in the cache. All are done
  /// before the first text comes. May be null.
  std::function<void(uint64_t n_done, uint64_t n_all)> on_prompt = {};
  /// Told once the request's prompt is in the cache, before any text: how many of its tokens were computed.
  /// May be null.
  std::function<void(int64_t n_computed)> after_prompt = {};
  /// Asked where the context is full before the text has ended: the tokens to go on from, a shorter past with
  /// all that was `generated` behind it; empty: the text ends. May be null.
  std::function<std::vector<int32_t>(std::span<const int32_t> generated)> make_room = {};
  PhaseProfiles* profiles = nullptr;  ///< adds the steps to these
};

struct Generated {
  std::string text = {}, reasoning = {};
  Finish finish = Finish::None;
  std::string error = {};  ///< why, where finish is Error
  int64_t n_token = 0;     ///< generated
  /// The whole text at its end, as the engine has it: behind what make_room() gave, if that was asked.
  std::vector<int32_t> tokens = {};
  int64_t n_prompt = 0;       ///< of tokens
  bool context_full = false;  ///< why finish is Length, where not n_predict is the reason
};

/// Runs one request to its end, or until it is interrupted, on an engine that has no other. Adds to `speeds`.
/// An error in the middle is in the result, so that the text before it can be finished first.
Generated generate(Engine& engine, const Tokenizer& tokenizer, SequenceRequest request,
                   const GenerateOptions& options, Speeds& speeds);

}  // namespace sw
