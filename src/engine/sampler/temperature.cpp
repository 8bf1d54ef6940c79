// SPDX-License-Identifier: MIT
#include <cmath>
#include <fmt/core.h>

#include "base/math.h"
#include "engine/sampler/step.h"

namespace sw {
namespace {

/// Where the best quotient is beyond a float, logits count from the best one: at a temperature near 0 it is
/// chosen, not any of those that would overflow.
void divide(Candidates& c, float t) {
  float best = -std::numeric_limits<float>::max();
  for (const Candidate& item : c.items()) best = std::max(best, item.logit);
  const float origin = std::isfinite(best / t) ? 0.0f : best;
  for (Candidate& item : c.items()) item.logit = finite((item.logit - origin) / t);
}

/// Divides logits by the temperature.
class Temperature : public SamplerStep {
 public:
  explicit Temperature(float t) : t_(t) {}
  void apply(Candidates& c, std::span<const int32_t>) override { divide(c, t_); }
  std::string describe() const override { return fmt::format("temperature {}", t_); }

 private:
  float t_;
};

/// A temperature between t - range and t + range: low where the model is sure, high where it is not.
class DynamicTemperature : public SamplerStep {
 public:
  DynamicTemperature(float t, float range, float exponent)
      : low_(std::max(0.0f, t - range)), high_(finite(t + range)), exponent_(exponent) {}

  void apply(Candidates& c, std::span<const int32_t>) override {
    if (c.size() < 2) return;
    c.softmax();
    double entropy = 0;
    for (const Candidate& item : c.items()) {
      if (item.p > 0) entropy -= static_cast<double>(item.p) * log_exact(item.p);
    }
    const double share = entropy / log_exact(static_cast<float>(c.size()));
    const float t =
        low_ + (high_ - low_) * pow_exact(static_cast<float>(std::clamp(share, 0.0, 1.0)), exponent_);
    if (t > 0) {
      divide(c, t);
    } else {
      c.keep(1);
    }
  }
  std::string describe() const override {
    return fmt::format("temperature {} to {} (exponent {})", low_, high_, exponent_);
  }

 private:
  float low_, high_, exponent_;
};

}  // namespace

StepPointer make_temperature(const SamplerParams& p, const SamplerContext&) {
  if (p.dynatemp_range > 0)
    return std::make_unique<DynamicTemperature>(p.temperature, p.dynatemp_range, p.dynatemp_exponent);
  return std::make_unique<Temperature>(p.temperature);
}

}  // namespace sw
