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
/// dynamic range, the best token after biases, masks, penalties and DRY. With Mirostat its step stands for
/// all that would cut candidates. The same seed, tokens and logits give the same choice on every machine.
class Sampler {
 public:
  /// Room is reserved for the context's numbers, so that sample() allocates nothing. Throws sw::Error where a
  /// setting is out of range.
  Sampler(const SamplerParams& params, const SamplerContext& context);

  /// One token, which is also accepted; `logits` [n_vocab]. Throws sw::Error where one is NaN or +inf, and
  /// where no token is left: every logit -inf, or forbidden by a bias or a step.
  int32_t sample(std::span<const float> logits);
  /// The two halves of sample(): what may come next with its probabilities, valid until the next call (at
  /// temperature 0 the best token alone), and the draw from it.
  const Candidates& weigh(std::span<const float> logits);
  int32_t draw();
  /// Instead of draw(): one of weigh()'s candidates, chosen by somebody else.
  void take(const Candidate& chosen);
  /// The sampler's own next random number in [0, 1).
  double uniform() { return rng_.uniform(); }
  /// A token of the text that no candidate stands for: the prompt's.
  void accept(int32_t token, Origin origin);
  /// Takes the last `n` tokens back, all of them generated and among the last kMaxRollback that were
  /// accepted. The random numbers of draw() stay used.
  void rollback(size_t n);

 private:
  const TokenMask* allowed();
  const Candidate& choose();

  std::vector<LogitBias> logit_bias_;  // none is -inf
  bool greedy_;
  Rng rng_;
  size_t n_vocab_;
  std::vector<int32_t> end_ids_;
  bool has_bans_ = false;
  TokenMask unbanned_;  // forbids what a bias of -inf does
  TokenMask allowed_;   // within weigh()
  std::vector<StepPointer> steps_;
  bool reads_text_ = false;
  std::vector<int32_t> tokens_;  // empty unless a step reads them
  Candidates candidates_;
};

/// The steps that act, in order: "top_k 40; top_p 0.95; temperature 0.8; seed 1". Throws as Sampler().
std::string describe_sampler(const SamplerParams& params);

}  // namespace sw
