// SPDX-License-Identifier: MIT
// Steps that keep the candidates which one number allows.
#include <cmath>
#include <fmt/core.h>

#include "base/math.h"
#include "engine/sampler/step.h"

namespace sw {
namespace {

/// Keeps the k best.
class TopK : public SamplerStep {
 public:
  explicit TopK(int k) : k_(static_cast<size_t>(k)) {}
  void apply(Candidates& c, std::span<const int32_t>) override { c.keep(k_); }
  std::string describe() const override { return fmt::format("top_k {}", k_); }

 private:
  size_t k_;
};

/// Keeps the fewest best whose probabilities sum to at least p.
class TopP : public SamplerStep {
 public:
  explicit TopP(float p) : p_(p) {}
  void apply(Candidates& c, std::span<const int32_t>) override {
    c.softmax();
    double sum = 0;
    size_t n = 0;
    while (n < c.size() && sum < p_) sum += c.items()[n++].p;
    c.keep(n);
  }
  std::string describe() const override { return fmt::format("top_p {}", p_); }

 private:
  float p_;
};

/// Keeps those at least min_p times as probable as the best.
class MinP : public SamplerStep {
 public:
  explicit MinP(float p) : p_(p) {}
  void apply(Candidates& c, std::span<const int32_t>) override {
    c.softmax();
    const float least = p_ * c.items().front().p;
    size_t n = 0;
    while (n < c.size() && c.items()[n].p >= least) ++n;
    c.keep(n);
  }
  std::string describe() const override { return fmt::format("min_p {}", p_); }

 private:
  float p_;
};

/// Keeps those whose logit is at most n standard deviations of all logits below the best.
class TopNSigma : public SamplerStep {
 public:
  explicit TopNSigma(float n) : n_(n) {}
  void apply(Candidates& c, std::span<const int32_t>) override {
    double sum = 0, squares = 0;
    float best = c.items().front().logit;
    for (const Candidate& item : c.items()) {
      sum += item.logit;
      best = std::max(best, item.logit);
    }
    const double n = static_cast<double>(c.size()), mean = sum / n;
    for (const Candidate& item : c.items()) squares += (item.logit - mean) * (item.logit - mean);
    const double least = best - n_ * std::sqrt(squares / n);
    std::erase_if(c.items(), [&](const Candidate& item) { return item.logit < least; });
  }
  std::string describe() const override { return fmt::format("top_n_sigma {}", n_); }

 private:
  float n_;
};

/// Keeps the fewest tokens that sum to at least p, those first whose surprise -ln p is nearest to the
/// entropy, which is the surprise that is expected.
class Typical : public SamplerStep {
 public:
  Typical(float p, size_t n_vocab) : p_(p) { ranked_.reserve(n_vocab); }

  void apply(Candidates& c, std::span<const int32_t>) override {
    c.softmax();
    double entropy = 0;
    ranked_.clear();
    for (const Candidate& item : c.items()) {
      if (item.p == 0) break;  // sorted: the rest is 0 too
      const float surprise = -log_exact(item.p);
      entropy += static_cast<double>(item.p) * surprise;
      ranked_.push_back({surprise, item});
    }
    for (Ranked& r : ranked_) r.distance = std::fabs(r.distance - static_cast<float>(entropy));
    std::sort(ranked_.begin(), ranked_.end(), [](const Ranked& a, const Ranked& b) {
      if (a.distance != b.distance) return a.distance < b.distance;
      return a.item.logit != b.item.logit ? a.item.logit > b.item.logit : a.item.id < b.item.id;
    });
    double sum = 0;
    size_t n = 0;
    while (n < ranked_.size() && (n == 0 || sum < p_)) sum += ranked_[n++].item.p;
    c.items().clear();
    for (size_t i = 0; i < n; ++i) c.items().push_back(ranked_[i].item);
  }
  std::string describe() const override { return fmt::format("typ_p {}", p_); }

 private:
  struct Ranked {
    float distance;
    Candidate item;
  };
  float p_;
  std::vector<Ranked> ranked_;
};

}  // namespace

StepPointer make_top_k(const SamplerParams& p, const SamplerContext&) {
  return p.top_k > 0 ? std::make_unique<TopK>(p.top_k) : nullptr;
}
StepPointer make_top_p(const SamplerParams& p, const SamplerContext&) {
  return p.top_p < 1 ? std::make_unique<TopP>(p.top_p) : nullptr;
}
StepPointer make_min_p(const SamplerParams& p, const SamplerContext&) {
  return p.min_p > 0 ? std::make_unique<MinP>(p.min_p) : nullptr;
}
StepPointer make_top_n_sigma(const SamplerParams& p, const SamplerContext&) {
  return p.top_n_sigma > 0 ? std::make_unique<TopNSigma>(p.top_n_sigma) : nullptr;
}
StepPointer make_typ_p(const SamplerParams& p, const SamplerContext& context) {
  return p.typical_p < 1 ? std::make_unique<Typical>(p.typical_p, context.n_vocab) : nullptr;
}

}  // namespace sw
