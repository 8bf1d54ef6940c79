// SPDX-License-Identifier: MIT
#include "engine/sampler/sampler.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace sw {
namespace {

/// Keeps the k best.
class TopK : public SamplerStep {
 public:
  explicit TopK(int k) : k_(static_cast<size_t>(k)) {}
  void apply(Candidates& c) override { c.keep(k_); }

 private:
  size_t k_;
};

/// Keeps the fewest best whose probabilities sum to at least p.
class TopP : public SamplerStep {
 public:
  explicit TopP(float p) : p_(p) {}
  void apply(Candidates& c) override {
    c.softmax();
    double sum = 0;
    size_t n = 0;
    while (n < c.items().size() && sum < p_) sum += c.items()[n++].p;
    c.keep(n);
  }

 private:
  float p_;
};

/// Keeps those at least min_p times as probable as the best.
class MinP : public SamplerStep {
 public:
  explicit MinP(float p) : p_(p) {}
  void apply(Candidates& c) override {
    c.softmax();
    const float least = p_ * c.items().front().p;
    size_t n = 0;
    while (n < c.items().size() && c.items()[n].p >= least) ++n;
    c.keep(n);
  }

 private:
  float p_;
};

/// Divides logits by the temperature.
class Temperature : public SamplerStep {
 public:
  explicit Temperature(float t) : t_(t) {}
  void apply(Candidates& c) override {
    for (Candidate& item : c.items()) item.logit /= t_;
  }

 private:
  float t_;
};

void check(const char* flag, double value, bool ok, const char* expected) {
  if (!ok)
    throw Error({.what = "a sampler setting is out of range",
                 .where = flag,
                 .expected = expected,
                 .got = std::to_string(value)});
}

}  // namespace

Sampler::Sampler(const SamplerParams& p)
    : logit_bias_(p.logit_bias), greedy_(p.temperature == 0.0f), rng_(p.seed) {
  check("--temp", p.temperature, p.temperature >= 0 && std::isfinite(p.temperature), "0 or more");
  check("--top-k", p.top_k, p.top_k >= 0, "0 (off) or more");
  check("--top-p", p.top_p, p.top_p >= 0 && p.top_p <= 1, "0 to 1");
  check("--min-p", p.min_p, p.min_p >= 0 && p.min_p <= 1, "0 to 1");
  if (greedy_) return;
  if (p.top_k > 0) steps_.push_back(std::make_unique<TopK>(p.top_k));
  if (p.top_p < 1) steps_.push_back(std::make_unique<TopP>(p.top_p));
  if (p.min_p > 0) steps_.push_back(std::make_unique<MinP>(p.min_p));
  steps_.push_back(std::make_unique<Temperature>(p.temperature));
}

int32_t Sampler::sample(std::span<const float> logits) {
  candidates_.assign(logits);
  candidates_.add_bias(logit_bias_);
  if (candidates_.empty())
    throw Error(
        {.what = "the model's logits are all NaN", .hint = "the file is damaged, or its values overflow"});
  if (greedy_) {
    candidates_.keep(1);
    return candidates_.items().front().id;
  }
  for (const auto& step : steps_) step->apply(candidates_);
  candidates_.softmax();
  const double draw = rng_.uniform();
  double sum = 0;
  for (const Candidate& c : candidates_.items()) {
    sum += c.p;
    if (draw < sum) return c.id;
  }
  return candidates_.items().back().id;
}

}  // namespace sw
