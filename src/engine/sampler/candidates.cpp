// SPDX-License-Identifier: MIT
#include "engine/sampler/candidates.h"

#include <array>
#include <bit>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/math.h"

namespace sw {
namespace {

bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// Rises as the logit falls; the two zeros are one.
uint32_t descending_key(float logit) {
  const auto bits = std::bit_cast<uint32_t>(logit + 0.0f);
  return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}

/// From this many on, sorting by digits is faster than by comparisons.
constexpr size_t kManyCandidates = 2048;

}  // namespace

void Candidates::assign(std::span<const float> logits, const TokenMask* allowed) {
  if (allowed) {
    fill(logits, [&](int32_t id) { return allowed->allows(id); });
  } else {
    fill(logits, [](int32_t) { return true; });
  }
}

template <class Allows>
void Candidates::fill(std::span<const float> logits, Allows allows) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  items_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    if (!(logit < kInf)) {
      throw Error({.what = "the model gave a logit that is not a number",
                   .where = "token " + std::to_string(i),
                   .got = logit == kInf ? "inf" : "NaN",
                   .hint = "the file is damaged, or its values overflow"});
    }
    const auto id = static_cast<int32_t>(i);
    if (logit > -kInf && allows(id)) items_.push_back({id, logit, 0.0f});
  }
}

void Candidates::add_bias(std::span<const LogitBias> biases) {
  for (const LogitBias& b : biases) {
    // Ids rise until the first sort.
    const auto at = std::lower_bound(items_.begin(), items_.end(), b.id,
                                     [](const Candidate& c, int32_t id) { return c.id < id; });
    if (at != items_.end() && at->id == b.id) at->logit = finite(at->logit + b.bias);
  }
}

void Candidates::sort() {
  if (std::is_sorted(items_.begin(), items_.end(), better)) return;
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.id < b.id; };
  if (items_.size() >= kManyCandidates && std::is_sorted(items_.begin(), items_.end(), by_id)) {
    sort_by_digits();
  } else {
    std::sort(items_.begin(), items_.end(), better);
  }
}

/// Radix sort, three digits of 11 bits. Stable: ids that rise keep doing so among equal logits.
void Candidates::sort_by_digits() {
  constexpr int kBits = 11;
  std::array<std::array<uint32_t, 1u << kBits>, 3> starts = {};
  const auto digit = [](const Candidate& c, int place) {
    return descending_key(c.logit) >> (kBits * place) & ((1u << kBits) - 1);
  };
  for (const Candidate& c : items_) {
    for (int place = 0; place < 3; ++place) ++starts[static_cast<size_t>(place)][digit(c, place)];
  }
  sorted_.resize(items_.size());
  for (int place = 0; place < 3; ++place) {
    auto& start = starts[static_cast<size_t>(place)];
    uint32_t sum = 0;
    for (uint32_t& count : start) sum += std::exchange(count, sum);
    for (const Candidate& c : items_) sorted_[start[digit(c, place)]++] = c;
    items_.swap(sorted_);
  }
}

void Candidates::softmax() {
  sort();
  double total = 0;
  for (Candidate& c : items_) {
    c.p = exp_exact(c.logit - items_.front().logit);
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
