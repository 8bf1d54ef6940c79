// SPDX-License-Identifier: MIT
// Mirostat (Basu et al. 2021): keeps the mean surprise of the text near tau bits a token.
#include <cmath>
#include <fmt/core.h>

#include "base/math.h"
#include "engine/sampler/step.h"

namespace sw {
namespace {

constexpr float kLn2 = 0.69314718f;
/// Candidates that version 1 fits its curve to.
constexpr size_t kFitted = 100;

float bits_of_surprise(float p) { return -log_exact(p) / kLn2; }

/// What both versions share: mu, the most surprise allowed, follows what was drawn. It is a function of the
/// text and the model alone, so it stays one with drafts: what they did to it is taken back.
class Mirostat : public SamplerStep {
 public:
  Mirostat(float tau, float eta) : tau_(tau), eta_(eta), mu_(finite(2 * tau)) {}
  void accept(int32_t, Origin origin) override {
    if (origin == Origin::Generated) mu_.advance();
  }
  void drawn(const Candidate& c) override {
    mu_.set(finite(mu_.now() - eta_ * (bits_of_surprise(c.p) - tau_)));
  }
  void rollback(size_t n) override { mu_.rollback(n); }

 protected:
  std::string describe_version(int version) const {
    return fmt::format("mirostat {} (tau {}, eta {})", version, tau_, eta_);
  }

  float tau_, eta_;
  History<float> mu_;
};

/// Takes p to fall as rank^-s (Zipf), estimates s, and keeps as many best tokens as give the surprise mu.
class Mirostat1 : public Mirostat {
 public:
  using Mirostat::Mirostat;
  void apply(Candidates& c, std::span<const int32_t>) override {
    c.softmax();
    const float s = exponent(c);
    const float n = static_cast<float>(c.size()), log_n = log_exact(n);
    // k = (e 2^mu / (1 - n^-e))^(1/s) with e = s - 1, as logarithms; at e = 0 the fraction is 1 / ln n.
    const float e = s - 1;
    const float log_share =
        std::fabs(e) < 1e-4f ? -log_exact(log_n) : log_exact(e / (1 - exp_exact(-e * log_n)));
    const float log_k = (log_share + mu_.now() * kLn2) / s;
    if (log_k < log_n) c.keep(static_cast<size_t>(exp_exact(log_k)));
  }
  std::string describe() const override { return describe_version(1); }

 private:
  /// Least squares through the logarithms of rank and probability of neighbours.
  static float exponent(const Candidates& c) {
    double products = 0, squares = 0;
    for (size_t i = 0; i + 1 < std::min(c.size(), kFitted); ++i) {
      const float step = log_exact(static_cast<float>(i + 2) / static_cast<float>(i + 1));
      // ln of the ratio of two probabilities: the softmax's sum cancels.
      const double fall = static_cast<double>(c.items()[i].logit) - c.items()[i + 1].logit;
      products += step * fall;
      squares += static_cast<double>(step) * step;
    }
    return static_cast<float>(products / squares);
  }
};

/// Keeps the tokens whose surprise is at most mu.
class Mirostat2 : public Mirostat {
 public:
  using Mirostat::Mirostat;
  void apply(Candidates& c, std::span<const int32_t>) override {
    c.softmax();
    size_t n = 0;
    while (n < c.size() && bits_of_surprise(c.items()[n].p) <= mu_.now()) ++n;
    c.keep(n);
  }
  std::string describe() const override { return describe_version(2); }
};

}  // namespace

StepPointer make_mirostat(const SamplerParams& p, const SamplerContext&) {
  if (p.mirostat == 1) return std::make_unique<Mirostat1>(p.mirostat_tau, p.mirostat_eta);
  if (p.mirostat == 2) return std::make_unique<Mirostat2>(p.mirostat_tau, p.mirostat_eta);
  return nullptr;
}

}  // namespace sw
