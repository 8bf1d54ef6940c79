// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sw {

/// How many tokens of prompts a step may compute beside sequences that decode, so that those wait at most
/// `slowdown` times as long for their next token as they would without the prompts; or, where several
/// prompts wait, that many times as long as for the tokens before: then those behind the first share the time
/// with the sequences that decode. It learns from the times of the steps before: what a step without prompts
/// takes, by its number of tokens, and what a prompt's token adds. It reads no clock: equal calls give equal
/// answers.
class StepBudget {
 public:
  /// `slowdown` above 1; 0: no limit.
  StepBudget(double slowdown, int64_t n_ubatch);

  /// What a step is made of.
  struct Load {
    int64_t n_decode_token = 0;  ///< of the sequences that decode, with their drafts
    int64_t n_decoding = 0;      ///< sequences
    int64_t n_prefilling = 0;    ///< sequences whose prompts are not computed yet
  };
  /// Tokens of prompts for the next step. All that a u-batch holds where nobody decodes; 0 where it is not
  /// known, or not known any more, what a step without them takes: that step shows it.
  int64_t prompt_tokens(const Load& load) const;
  /// What a step took that computed so many tokens of each kind.
  void note(int64_t n_decode_token, int64_t n_prompt_token, double seconds);

 private:
  struct Decode {
    double seconds = 0;  // of a step without prompts; 0: there was none
    int n_mixed = 0;     // steps with prompts since the last without
  };
  size_t place(int64_t n_decode_token) const;

  double slowdown_;
  int64_t n_ubatch_;
  std::vector<Decode> decode_;                   // by tokens that are decoded
  double prompt_token_s_ = 0;                    // what a prompt's token adds to a step
  double mixed_s_ = 0;                           // what steps with both kinds take
  double usual_s_ = 0;                           // what steps take in which somebody decodes
  double alone_tokens_ = 0, alone_seconds_ = 0;  // of prompts while nobody decodes; old ones fade
};

}  // namespace sw
