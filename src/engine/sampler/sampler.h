// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/rng.h"
#include "engine/sampler/candidates.h"

namespace sw {

/// How the next token is chosen. A value that switches its step off: temperature 0 (greedy), top_k 0,
/// top_p 1, min_p 0.
struct SamplerParams {
  float temperature = 0.8f;
  int top_k = 40;
  float top_p = 0.95f;
  float min_p = 0.05f;
  uint64_t seed = 0;
  std::vector<LogitBias> logit_bias = {};
};

/// One step of the chain: removes candidates or changes their logits.
class SamplerStep {
 public:
  virtual ~SamplerStep() = default;
  virtual void apply(Candidates& candidates) = 0;
};

/// Chooses tokens for one sequence: biases, top-k, top-p, min-p, temperature, then a draw. The same seed and
/// logits give the same tokens on every machine.
class Sampler {
 public:
  /// Throws sw::Error where a value is out of range.
  explicit Sampler(const SamplerParams& params);
  /// One token; `logits` [n_vocab]. Throws sw::Error where no token is left: every logit NaN or biased to
  /// -inf.
  int32_t sample(std::span<const float> logits);

 private:
  std::vector<LogitBias> logit_bias_;
  bool greedy_;
  Rng rng_;
  std::vector<std::unique_ptr<SamplerStep>> steps_;
  Candidates candidates_;
};

}  // namespace sw
