// SPDX-License-Identifier: MIT
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {

/// Tokens and seconds of the two phases, summed over generations.
struct Speeds {
  int64_t n_prompt = 0, n_decode = 0;
  double prefill_s = 0, decode_s = 0;

  /// "prefill: 4 tokens, 3800 t/s; decode: 199 tokens, 3100 t/s"
  std::string to_string() const;
};

struct GenerateOptions {
  std::vector<std::string> stops = {};  ///< strings that end the text
  bool special = false;                 ///< hand out special tokens too
  bool begins_reasoning = false;        ///< the prompt ended with <think>
  ForwardProbe* probe = nullptr;
  /// Gets the text as it comes, always whole UTF-8 characters.
  std::function<void(std::string_view text, bool reasoning)> sink = {};
};

struct Generated {
  std::string text = {}, reasoning = {};
  Finish finish = Finish::None;
  std::string error = {};  ///< why, where finish is Error
};

/// Runs one request to its end, or until Ctrl-C. Adds to `speeds`. An error in the middle is in the result,
/// so that the text before it can be finished first.
Generated generate(Engine& engine, const Tokenizer& tokenizer, SequenceRequest request,
                   const GenerateOptions& options, Speeds& speeds);

}  // namespace sw::cli
