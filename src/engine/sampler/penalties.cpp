// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "engine/sampler/step.h"

namespace sw {
namespace {

/// Lowers the logits of tokens among the last ones: `repeat` divides (a negative logit is multiplied),
/// `presence` is subtracted once, `frequency` for each time.
class Penalties : public SamplerStep {
 public:
  Penalties(const SamplerParams& p, size_t n_vocab)
      : last_n_(p.penalty_last_n),
        repeat_(p.repeat_penalty),
        presence_(p.presence_penalty),
        frequency_(p.frequency_penalty),
        counts_(n_vocab) {}

  void apply(Candidates& c, std::span<const int32_t> tokens) override {
    const std::span<const int32_t> last = last_tokens(tokens, last_n_);
    for (const int32_t id : last) ++counts_[static_cast<size_t>(id)];
    for (Candidate& item : c.items()) {
      const int32_t count = counts_[static_cast<size_t>(item.id)];
      if (count == 0) continue;
      const float scaled = finite(item.logit > 0 ? item.logit / repeat_ : item.logit * repeat_);
      const float taken = finite(static_cast<float>(count) * frequency_);
      item.logit = finite(finite(scaled - taken) - presence_);
    }
    for (const int32_t id : last) counts_[static_cast<size_t>(id)] = 0;
  }
  bool reads_text() const override { return true; }
  std::string describe() const override {
    return fmt::format("penalties (repeat {}, presence {}, frequency {}, last {})", repeat_, presence_,
                       frequency_, last_n_);
  }

 private:
  int last_n_;
  float repeat_, presence_, frequency_;
  std::vector<int32_t> counts_;  // by id; all 0 between calls
};

}  // namespace

StepPointer make_penalties(const SamplerParams& p, const SamplerContext& context) {
  const bool neutral = p.repeat_penalty == 1 && p.presence_penalty == 0 && p.frequency_penalty == 0;
  if (neutral || p.penalty_last_n == 0) return nullptr;
  return std::make_unique<Penalties>(p, context.n_vocab);
}

}  // namespace sw
