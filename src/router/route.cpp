// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/math.h"
#include "router/routing.h"

namespace sw {
namespace {

using Slot = RouteScratch::Slot;

constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kNever = -std::numeric_limits<float>::infinity();

/// Best first: by falling score, then by rising id. A total order, as no score is NaN.
struct BestFirst {
  const float* scores;
  bool operator()(int32_t a, int32_t b) const {
    const float x = scores[a], y = scores[b];
    return x != y ? x > y : a < b;
  }
};

/// +inf counts as the largest float; NaN stays (no comparison with it is true).
float tame(float x) { return std::min(x, kLargest); }

/// Logits -> scores. A NaN logit gives a NaN score and is no part of the others' softmax.
void score(Score function, std::span<const float> logits, std::span<float> scores) {
  if (function == Score::SoftmaxSelected) {
    std::transform(logits.begin(), logits.end(), scores.begin(), tame);
  } else if (function == Score::Sigmoid) {
    std::transform(logits.begin(), logits.end(), scores.begin(), sigmoid_exact);
  } else {
    float largest = kNever, sum = 0.0f;
    for (const float x : logits) largest = tame(x) > largest ? tame(x) : largest;
    for (size_t i = 0; i < logits.size(); ++i) {
      scores[i] = exp_exact(tame(logits[i]) - largest);
      if (!std::isnan(logits[i])) sum += scores[i];
    }
    for (float& s : scores) s /= sum;
  }
}

/// Selection scores: with bias, and -inf for whatever must never be selected.
void bias_and_mask(std::span<const float> scores, std::span<const float> bias, const LayerPolicy& policy,
                   const uint32_t* mask, std::span<float> selection) {
  for (size_t i = 0; i < scores.size(); ++i) {
    const float s = bias.empty() ? scores[i] : tame(scores[i] + bias[i]);
    const bool forbidden = policy.masked() && (mask[i / 32] >> (i % 32) & 1) != 0;
    selection[i] = forbidden || std::isnan(s) ? kNever : s;
  }
}

/// The score of a group from its members' selection scores; -inf if and only if none is finite.
float group_score(GroupScore function, std::span<const float> members) {
  float best = kNever, second = kNever;
  for (const float s : members) {
    if (s > best) {
      second = best;
      best = s;
    } else if (s > second) {
      second = s;
    }
  }
  if (function == GroupScore::Max || second == kNever) return best;
  return std::clamp(best + second, -kLargest, kLargest);
}

/// Takes the experts outside the best groups out of the selection.
void select_groups(const RouterSpec& spec, RouteScratch& s) {
  const auto size = static_cast<size_t>(spec.group_size());
  const std::span selection(s.selection);
  s.order.resize(static_cast<size_t>(spec.n_group));
  std::iota(s.order.begin(), s.order.end(), 0);
  for (size_t g = 0; g < s.order.size(); ++g) {
    s.group_scores[g] = group_score(spec.group_score, selection.subspan(g * size, size));
  }
  const auto dropped = s.order.begin() + spec.n_group_used;
  std::partial_sort(s.order.begin(), dropped, s.order.end(), BestFirst{s.group_scores.data()});
  std::for_each(dropped, s.order.end(), [&](int32_t g) {
    std::ranges::fill(selection.subspan(static_cast<size_t>(g) * size, size), kNever);
  });
}

/// The up to k best experts that may be selected, best first.
void top_k(int32_t k, RouteScratch& s, size_t n_logits) {
  s.order.clear();
  for (size_t i = 0; i < n_logits; ++i) {
    if (s.selection[i] > kNever) s.order.push_back(static_cast<int32_t>(i));
  }
  const auto n = std::min<std::ptrdiff_t>(k, std::ssize(s.order));
  std::partial_sort(s.order.begin(), s.order.begin() + n, s.order.end(), BestFirst{s.selection.data()});
  s.order.resize(static_cast<size_t>(n));
}

float largest_weight(std::span<const Slot> slots) {
  float largest = kNever;
  for (const Slot& slot : slots) largest = std::max(largest, slot.weight);
  return largest;
}

/// Of the selected, the min_k best stay, and whoever has the threshold's share of the largest weight.
void apply_threshold(const LayerPolicy& policy, std::vector<Slot>& slots) {
  if (std::ssize(slots) <= policy.min_k) return;
  const float least = policy.threshold * largest_weight(slots);
  const auto end = std::remove_if(slots.begin() + policy.min_k, slots.end(),
                                  [&](const Slot& slot) { return slot.weight < least; });
  slots.erase(end, slots.end());
}

/// weight / (sum + eps); weights that are all 0 stay so.
void divide_by_sum(std::span<Slot> slots, float eps) {
  float sum = 0.0f;
  for (const Slot& slot : slots) sum += slot.weight;
  sum += eps;
  if (sum == 0.0f) return;
  for (Slot& slot : slots) slot.weight /= sum;
}

/// The selected experts' weights, from unbiased scores; the threshold may drop some. Softmax over the
/// selected is over those that stay, as it is with a smaller k.
void weigh(const RouterSpec& spec, const LayerPolicy& policy, RouteScratch& s) {
  s.slots.clear();
  for (const int32_t id : s.order) s.slots.push_back({id, s.scores[static_cast<size_t>(id)]});
  if (spec.score == Score::SoftmaxSelected) {
    const float largest = largest_weight(s.slots);
    for (Slot& slot : s.slots) slot.weight = exp_exact(slot.weight - largest);
  }
  apply_threshold(policy, s.slots);
  if (spec.score == Score::SoftmaxSelected) divide_by_sum(s.slots, 0.0f);
  if (spec.renorm && policy.k >= spec.renorm_min_k) divide_by_sum(s.slots, spec.renorm_eps);
  for (Slot& slot : s.slots) slot.weight *= spec.scale;
}

/// Writes a token's row: by falling weight, then rising id; unused slots last.
void order_row(std::vector<Slot>& slots, int64_t token, Routing& out) {
  std::ranges::sort(slots, [](const Slot& a, const Slot& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  });
  for (int64_t i = 0; i < out.ids.n_cols(); ++i) {
    const bool used = i < std::ssize(slots);
    out.ids.at(token, i) = used ? slots[static_cast<size_t>(i)].id : -1;
    out.weights.at(token, i) = used ? slots[static_cast<size_t>(i)].weight : 0.0f;
  }
  out.n_active[static_cast<size_t>(token)] = static_cast<int32_t>(slots.size());
}

}  // namespace

RouteScratch::RouteScratch(int n_logits, int n_group)
    : scores(static_cast<size_t>(n_logits)),
      selection(static_cast<size_t>(n_logits)),
      group_scores(static_cast<size_t>(n_group)) {
  order.reserve(static_cast<size_t>(std::max(n_logits, n_group)));
  slots.reserve(static_cast<size_t>(n_logits));
}

void route(const RouterSpec& spec, const PolicyRows& policies, int moe_layer,
           std::span<const uint16_t> policy_id, TensorView<const float> logits, std::span<const float> bias,
           RouteScratch& scratch, Routing& out) {
  const auto n_logits = static_cast<size_t>(spec.n_logits());
  SW_ASSERT(logits.n_cols() == spec.n_logits() && (bias.empty() || bias.size() == n_logits));
  SW_ASSERT(out.n_tokens() == logits.n_rows() && std::ssize(policy_id) == logits.n_rows());
  SW_ASSERT(scratch.scores.size() >= n_logits && std::ssize(scratch.group_scores) >= spec.n_group);
  const std::span scores = std::span(scratch.scores).first(n_logits);
  const std::span selection = std::span(scratch.selection).first(n_logits);
  for (int64_t t = 0; t < logits.n_rows(); ++t) {
    const uint16_t id = policy_id[static_cast<size_t>(t)];
    const LayerPolicy& policy = policies.at(id, moe_layer);
    SW_ASSERT(policy.k <= out.ids.n_cols());
    score(spec.score, {logits.row(t), n_logits}, scores);
    bias_and_mask(scores, bias, policy, policies.mask(id, moe_layer), selection);
    if (policy.grouped()) select_groups(spec, scratch);
    top_k(policy.k, scratch, n_logits);
    weigh(spec, policy, scratch);
    order_row(scratch.slots, t, out);
  }
}

}  // namespace sw
