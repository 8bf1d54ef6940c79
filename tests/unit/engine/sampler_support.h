// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "base/rng.h"
#include "engine/sampler/step.h"

/// What the tests of the sampler's steps share: inputs, and plain double arithmetic for references.
namespace sw::testing {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Even over [-spread, spread).
inline std::vector<float> random_logits(Rng& rng, size_t n, double spread) {
  std::vector<float> logits(n);
  for (float& x : logits) x = static_cast<float>((2 * rng.uniform() - 1) * spread);
  return logits;
}

/// All steps off but the draw.
inline SamplerParams no_steps() {
  SamplerParams p;
  p.temperature = 1;
  p.top_k = 0;
  p.top_p = 1;
  p.min_p = 0;
  return p;
}

/// What a step was told of its text.
struct SeenText {
  explicit SeenText(size_t n_ctx) { tokens.reserve(n_ctx); }
  std::vector<int32_t> tokens = {};
  size_t n_prompt = 0, n_drawn = 0, n_rolled_back = 0;
};

/// A step with a state: behind an even number of tokens it allows even ids, else odd ones, and the text may
/// end behind an even number only.
class Alternating : public SamplerStep {
 public:
  Alternating(const SamplerContext& context, SeenText& seen)
      : seen_(seen), even_(context.n_vocab), odd_(context.n_vocab) {
    for (int32_t id = 0; id < static_cast<int32_t>(context.n_vocab); ++id) (id % 2 ? even_ : odd_).forbid(id);
  }
  const TokenMask* allowed() override { return is_even() ? &even_ : &odd_; }
  bool may_end() const override { return is_even(); }
  void accept(int32_t token, Origin origin) override {
    seen_.tokens.push_back(token);
    seen_.n_prompt += origin == Origin::Prompt;
  }
  void drawn(const Candidate& c) override {
    EXPECT_EQ(c.id, seen_.tokens.back());
    ++seen_.n_drawn;
  }
  void rollback(size_t n) override {
    ASSERT_LE(n, std::min(kMaxRollback, seen_.tokens.size() - seen_.n_prompt));
    seen_.tokens.resize(seen_.tokens.size() - n);
    seen_.n_rolled_back += n;
  }
  std::string describe() const override { return "alternating"; }

 private:
  bool is_even() const { return seen_.tokens.size() % 2 == 0; }

  SeenText& seen_;
  TokenMask even_, odd_;
};

inline StepMaker alternating(SeenText& seen) {
  return [&seen](const SamplerContext& context) { return std::make_unique<Alternating>(context, seen); };
}

/// The candidates that a step leaves, by id.
inline std::vector<Candidate> applied(SamplerStep& step, std::span<const float> logits,
                                      std::span<const int32_t> tokens = {}) {
  Candidates c;
  c.assign(logits);
  step.apply(c, tokens);
  std::vector<Candidate> left = c.items();
  std::sort(left.begin(), left.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return left;
}

inline std::vector<int32_t> ids_of(const std::vector<Candidate>& candidates) {
  std::vector<int32_t> ids;
  for (const Candidate& c : candidates) ids.push_back(c.id);
  return ids;
}

inline std::vector<int32_t> kept(SamplerStep& step, std::span<const float> logits) {
  return ids_of(applied(step, logits));
}

inline std::vector<double> softmax(std::span<const float> logits) {
  const float best = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p;
  for (const float x : logits) p.push_back(std::exp(static_cast<double>(x) - best));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

/// Ids by falling value, equal ones by rising id.
template <class T>
std::vector<int32_t> ranking(const std::vector<T>& values) {
  std::vector<int32_t> ids(values.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
  });
  return ids;
}

/// The first of `order` until their probabilities reach `p`; ascending.
inline std::vector<int32_t> until(const std::vector<int32_t>& order, const std::vector<double>& probability,
                                  double p) {
  std::vector<int32_t> ids;
  double sum = 0;
  for (const int32_t id : order) {
    if (!ids.empty() && sum >= p) break;
    ids.push_back(id);
    sum += probability[static_cast<size_t>(id)];
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace sw::testing
