// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "base/rng.h"
#include "engine/sampler/step.h"

namespace sw {
namespace {

/// Keeps its draws apart from those that choose the token.
constexpr uint64_t kStream = 0x7874635f64726177;

/// "Exclude top choices": at times leaves out all tokens of at least the threshold's probability but the
/// least probable of them.
class Xtc : public SamplerStep {
 public:
  Xtc(float probability, float threshold, uint64_t seed)
      : probability_(probability), threshold_(threshold), rng_(seed ^ kStream) {}

  void apply(Candidates& c, std::span<const int32_t>) override {
    if (rng_.uniform() >= probability_) return;
    c.softmax();
    size_t n = 0;
    while (n < c.size() && c.items()[n].p >= threshold_) ++n;
    if (n > 1) c.items().erase(c.items().begin(), c.items().begin() + static_cast<std::ptrdiff_t>(n - 1));
  }
  std::string describe() const override {
    return fmt::format("xtc (probability {}, threshold {})", probability_, threshold_);
  }

 private:
  float probability_, threshold_;
  Rng rng_;
};

}  // namespace

StepPointer make_xtc(const SamplerParams& p, const SamplerSizes&) {
  if (p.xtc_probability == 0) return nullptr;
  return std::make_unique<Xtc>(p.xtc_probability, p.xtc_threshold, p.seed);
}

}  // namespace sw
