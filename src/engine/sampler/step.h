// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/sampler/candidates.h"
#include "engine/sampler/settings.h"

namespace sw {

/// One step of the chain: removes candidates or changes their logits.
class SamplerStep {
 public:
  virtual ~SamplerStep() = default;
  /// `tokens`: the text so far, prompt included. Finds at least one candidate and leaves at least one.
  /// Allocates nothing.
  virtual void apply(Candidates& candidates, std::span<const int32_t> tokens) = 0;
  /// Told what was drawn after all steps, with its probability.
  virtual void drawn(const Candidate&) {}
  /// Name and numbers, for the printed chain.
  virtual std::string describe() const = 0;
};

using StepPointer = std::unique_ptr<SamplerStep>;

/// What steps reserve their buffers for.
struct SamplerSizes {
  size_t n_vocab = 0;
  size_t n_ctx = 0;
};

// make_penalties(), make_dry(), ...: null where the settings switch the step off.
#define SW_SAMPLER(kind, name, role) StepPointer make_##name(const SamplerParams&, const SamplerSizes&);
#include "engine/sampler/steps.inc"
#undef SW_SAMPLER
StepPointer make_mirostat(const SamplerParams&, const SamplerSizes&);

/// The last `n` of the tokens; -1: all.
inline std::span<const int32_t> last_tokens(std::span<const int32_t> tokens, int n) {
  return n < 0 ? tokens : tokens.last(std::min(tokens.size(), static_cast<size_t>(n)));
}

}  // namespace sw
