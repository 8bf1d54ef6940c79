// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "engine/sampler/candidates.h"
#include "engine/sampler/settings.h"
#include "engine/sampler/step.h"

namespace sw {

/// Chooses tokens for one sequence: biases, the steps of the chain, then a draw. At temperature 0, without a
/// dynamic range, the best token after biases, penalties and DRY. With Mirostat its step stands for all that
/// would cut candidates. The same seed, tokens and logits give the same choice on every machine.
class Sampler {
 public:
  /// `n_vocab`: length of the logits; `n_ctx`: tokens of the longest text. Room is reserved for both, so that
  /// sample() allocates nothing. Throws sw::Error where a setting is out of range.
  Sampler(const SamplerParams& params, int64_t n_vocab, int64_t n_ctx);

  /// One token, which is also accepted; `logits` [n_vocab]. Throws sw::Error where one is NaN or +inf, and
  /// where no token is left: every logit -inf, or biased to it.
  int32_t sample(std::span<const float> logits);
  /// The two halves of sample(): what may come next with its probabilities, valid until the next call (at
  /// temperature 0 the best token alone), and the draw from it.
  const Candidates& weigh(std::span<const float> logits);
  int32_t draw();
  /// The sampler's own next random number in [0, 1).
  double uniform() { return rng_.uniform(); }
  /// A token of the text that was not drawn here: the prompt's. What penalties and DRY look at.
  void accept(int32_t token);
  /// Forgets the last `n` tokens of the text.
  void take_back(size_t n);

 private:
  const Candidate& choose();

  std::vector<LogitBias> logit_bias_;
  bool greedy_;
  Rng rng_;
  std::vector<StepPointer> steps_;
  size_t n_vocab_;
  bool looks_back_;
  std::vector<int32_t> tokens_;  // empty unless a step looks at them
  Candidates candidates_;
};

/// The steps that act, in order: "top_k 40; top_p 0.95; temperature 0.8; seed 1". Throws as Sampler().
std::string describe_sampler(const SamplerParams& params);

}  // namespace sw
