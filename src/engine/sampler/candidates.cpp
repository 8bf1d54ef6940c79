// SPDX-License-Identifier: MIT
#include "engine/sampler/candidates.h"

#include <algorithm>
#include <limits>

#include "base/math.h"

namespace sw {
namespace {

bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

}  // namespace

void Candidates::assign(std::span<const float> logits) {
  items_.clear();
  items_.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == logits[i]) items_.push_back({static_cast<int32_t>(i), logits[i], 0.0f});
  }
}

void Candidates::add_bias(std::span<const LogitBias> biases) {
  for (const LogitBias& b : biases) {
    // Ids rise until the first sort.
    const auto at = std::lower_bound(items_.begin(), items_.end(), b.id,
                                     [](const Candidate& c, int32_t id) { return c.id < id; });
    if (at == items_.end() || at->id != b.id) continue;
    at->logit += b.bias;
    if (!(at->logit > -std::numeric_limits<float>::infinity())) items_.erase(at);
  }
}

void Candidates::sort() {
  if (!std::is_sorted(items_.begin(), items_.end(), better)) std::sort(items_.begin(), items_.end(), better);
}

void Candidates::softmax() {
  sort();
  double total = 0;
  for (Candidate& c : items_) {
    // An infinite best logit takes everything; inf - inf would be NaN.
    c.p = c.logit == items_.front().logit ? 1.0f : exp_exact(c.logit - items_.front().logit);
    total += c.p;
  }
  for (Candidate& c : items_) c.p = static_cast<float>(c.p / total);
}

void Candidates::keep(size_t n) {
  n = std::clamp<size_t>(n, 1, std::max<size_t>(items_.size(), 1));
  if (n >= items_.size()) return sort();
  std::partial_sort(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(n), items_.end(), better);
  items_.resize(n);
}

}  // namespace sw
