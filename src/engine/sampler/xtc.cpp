// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "base/rng.h"
#include "engine/sampler/step.h"

namespace sw {
namespace {

/// Keeps its draws apart from those that choose the token.
constexpr uint64_t kStream = 0x7874635f64726177;

/// "Exclude top choices": at times leaves out all tokens of at least the threshold's probability but the
/// least probable of them. Whether it does is drawn once per token of the text, so a draft and its check
/// agree.
class Xtc : public SamplerStep {
 public:
  Xtc(float probability, float threshold, uint64_t seed)
      : probability_(probability), threshold_(threshold), lots_(Rng(seed ^ kStream)) {}

  void apply(Candidates& c, std::span<const int32_t>) override {
    Rng lots = lots_.now();
    if (lots.uniform() >= probability_) return;
    c.softmax();
    size_t n = 0;
    while (n < c.size() && c.items()[n].p >= threshold_) ++n;
    if (n > 1) c.items().erase(c.items().begin(), c.items().begin() + static_cast<std::ptrdiff_t>(n - 1));
  }
  void accept(int32_t, Origin origin) override {
    if (origin != Origin::Generated) return;
    lots_.advance();
    Rng lots = lots_.now();
    lots.uniform();
    lots_.set(lots);
  }
  void rollback(size_t n) override { lots_.rollback(n); }
  std::string describe() const override {
    return fmt::format("xtc (probability {}, threshold {})", probability_, threshold_);
  }

 private:
  float probability_, threshold_;
  History<Rng> lots_;  // its next number is the next token's
};

}  // namespace

StepPointer make_xtc(const SamplerParams& p, const SamplerContext&) {
  if (p.xtc_probability == 0) return nullptr;
  return std::make_unique<Xtc>(p.xtc_probability, p.xtc_threshold, p.seed);
}

}  // namespace sw
