// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/math.h"
#include "router/policy_table.h"
#include "router/route_counts.h"
#include "router/spec.h"

#ifdef __CUDACC__
#define SW_ROUTE_FUNCTION __device__ inline
#define SW_ROUTE_UNROLL _Pragma("unroll 4")  // several reads on their way at once
#else
#define SW_ROUTE_FUNCTION inline
#define SW_ROUTE_UNROLL
#endif

/// How a GPU routes a token: sw::route's arithmetic, in sw::route's order, shared out among the lanes of a
/// warp. Any compiler compiles it, so that the tests run the very same code on the CPU against
/// sw::route.
///
/// A Team is the lanes that work on one row: lane() and size(), sync() (after it all see what any wrote), and
/// max(x), min(x) and sum(x) over what the lanes hand in; count(counter) and add(total, x) are atomic. Item i
/// of an array is lane i % size()'s, so what a lane wrote for an item it may read for that item without a
/// sync.
namespace sw::cuda {

/// A row in the making: memory that a team shares.
struct RouteMemory {
  float* scores = nullptr;        ///< [n_logits] unbiased
  float* selection = nullptr;     ///< [n_logits] with bias; -inf: not selectable (any more)
  float* group_scores = nullptr;  ///< [n_group]
  float* weights = nullptr;       ///< [n_slot] of the selected, best first
  int32_t* ids = nullptr;         ///< [n_slot]
  int32_t* n_kept = nullptr;      ///< [1]
};

inline int64_t route_memory_bytes(const RouterSpec& spec, int64_t n_slot) {
  return 4 * (2 * int64_t{spec.n_logits()} + spec.n_group + 2 * n_slot + 1);
}

/// The arrays in `memory`, of route_memory_bytes(), aligned to 4.
SW_ROUTE_FUNCTION RouteMemory route_memory(std::byte* memory, const RouterSpec& spec, int n_slot) {
  RouteMemory m;
  m.scores = reinterpret_cast<float*>(memory);
  m.selection = m.scores + spec.n_logits();
  m.group_scores = m.selection + spec.n_logits();
  m.weights = m.group_scores + spec.n_group;
  m.ids = reinterpret_cast<int32_t*>(m.weights + n_slot);
  m.n_kept = m.ids + n_slot;
  return m;
}

/// Where a row goes.
struct RouteRow {
  int32_t* ids = nullptr;       ///< [n_slot]
  float* weights = nullptr;     ///< [n_slot]
  int32_t* n_active = nullptr;  ///< [1]
  int n_slot = 0;
};

inline constexpr float kRouteLargest = std::numeric_limits<float>::max();
inline constexpr float kRouteNever = -std::numeric_limits<float>::infinity();

/// +inf counts as the largest float; NaN stays.
SW_ROUTE_FUNCTION float route_tame(float x) { return kRouteLargest < x ? kRouteLargest : x; }

/// An integer that orders as the float does; both zeros are one number. Not for NaN.
SW_ROUTE_FUNCTION uint32_t route_key(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x == 0.0f ? 0.0f : x);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

/// The float whose key it is.
SW_ROUTE_FUNCTION float route_unkey(uint32_t key) {
  return std::bit_cast<float>(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}

/// Logits -> scores[i] of the lane's own i.
template <class Team>
SW_ROUTE_FUNCTION void route_score(const Team& team, const RouterSpec& spec, const float* logits,
                                   float* scores) {
  const int n = spec.n_logits();
  if (spec.score != Score::Softmax) {
    SW_ROUTE_UNROLL
    for (int i = team.lane(); i < n; i += team.size())
      scores[i] = spec.score == Score::Sigmoid ? sigmoid_exact(logits[i]) : route_tame(logits[i]);
    return;
  }
  float largest = kRouteNever;
  for (int i = team.lane(); i < n; i += team.size()) {
    const float x = route_tame(logits[i]);
    if (x > largest) largest = x;
  }
  largest = route_unkey(team.max(route_key(largest)));
  SW_ROUTE_UNROLL
  for (int i = team.lane(); i < n; i += team.size()) scores[i] = exp_exact(route_tame(logits[i]) - largest);
  team.sync();
  // From left to right, as the bits are fixed: each lane for itself, the same sum. NaN scores are those of
  // NaN logits, which take no part, or (every logit -inf or NaN) all of them, which stay NaN.
  float sum = 0.0f;
  SW_ROUTE_UNROLL
  for (int i = 0; i < n; ++i) sum += scores[i] == scores[i] ? scores[i] : 0.0f;
  team.sync();
  for (int i = team.lane(); i < n; i += team.size()) scores[i] /= sum;
}

/// Selection scores of the lane's own experts.
template <class Team>
SW_ROUTE_FUNCTION void route_bias_and_mask(const Team& team, const RouterSpec& spec,
                                           const LayerPolicy& policy, const uint32_t* mask, const float* bias,
                                           const RouteMemory& m) {
  for (int i = team.lane(); i < spec.n_logits(); i += team.size()) {
    const float s = bias ? route_tame(m.scores[i] + bias[i]) : m.scores[i];
    const bool forbidden = policy.masked() && (mask[i / 32] >> (i % 32) & 1) != 0;
    m.selection[i] = forbidden || s != s ? kRouteNever : s;
  }
}

/// -inf if and only if no member is selectable.
SW_ROUTE_FUNCTION float route_group_score(GroupScore function, const float* members, int n) {
  float best = kRouteNever, second = kRouteNever;
  SW_ROUTE_UNROLL
  for (int i = 0; i < n; ++i) {
    const float s = members[i];
    if (s > best) {
      second = best;
      best = s;
    } else if (s > second) {
      second = s;
    }
  }
  if (function == GroupScore::Max || second == kRouteNever) return best;
  const float sum = route_tame(best + second);
  return sum < -kRouteLargest ? -kRouteLargest : sum;
}

/// How many of n entries come before entry `i`: by falling score, then by rising id.
SW_ROUTE_FUNCTION int route_rank(const float* scores, const int32_t* ids, int n, int i) {
  int rank = 0;
  for (int j = 0; j < n; ++j) {
    const bool first = ids ? ids[j] < ids[i] : j < i;
    rank += scores[j] > scores[i] || (scores[j] == scores[i] && first);
  }
  return rank;
}

/// Takes the experts outside the best groups out of the selection.
template <class Team>
SW_ROUTE_FUNCTION void route_select_groups(const Team& team, const RouterSpec& spec, const RouteMemory& m) {
  const int size = spec.group_size();
  team.sync();
  for (int g = team.lane(); g < spec.n_group; g += team.size())
    m.group_scores[g] = route_group_score(spec.group_score, m.selection + g * size, size);
  team.sync();
  for (int g = team.lane(); g < spec.n_group; g += team.size()) {
    if (route_rank(m.group_scores, nullptr, spec.n_group, g) < spec.n_group_used) continue;
    for (int i = 0; i < size; ++i) m.selection[g * size + i] = kRouteNever;
  }
  team.sync();
}

/// The up to k best experts, best first, into ids and (their unbiased scores) weights; returns how many.
/// Each lane offers its best; the team takes the best of those, ties by the lowest id; its owner looks for
/// its next.
template <class Team>
SW_ROUTE_FUNCTION int route_top_k(const Team& team, const RouterSpec& spec, int k, const RouteMemory& m) {
  const uint32_t nobody = std::numeric_limits<uint32_t>::max();
  uint32_t mine = nobody, mine_key = 0;
  const auto find_mine = [&] {
    float best = kRouteNever;
    mine = nobody;
    SW_ROUTE_UNROLL
    for (int i = team.lane(); i < spec.n_logits(); i += team.size()) {
      if (m.selection[i] > best) {
        best = m.selection[i];
        mine = static_cast<uint32_t>(i);
      }
    }
    mine_key = route_key(best);
  };
  find_mine();
  int n = 0;
  for (; n < k; ++n) {
    const uint32_t key = team.max(mine_key);
    if (key == route_key(kRouteNever)) break;
    const uint32_t id = team.min(mine_key == key ? mine : nobody);
    if (id != mine) continue;
    m.ids[n] = static_cast<int32_t>(id);
    m.weights[n] = m.scores[id];
    m.selection[id] = kRouteNever;
    find_mine();
  }
  team.sync();
  return n;
}

SW_ROUTE_FUNCTION float route_largest_weight(const float* weights, int n) {
  float largest = kRouteNever;
  for (int i = 0; i < n; ++i) largest = std::max(largest, weights[i]);
  return largest;
}

/// Of n slots, the min_k best stay, and whoever has the threshold's share of the largest weight; returns how
/// many. Seldom used, so that one lane does it.
template <class Team>
SW_ROUTE_FUNCTION int route_apply_threshold(const Team& team, const LayerPolicy& policy, int n,
                                            const RouteMemory& m) {
  if (n <= policy.min_k) return n;
  team.sync();
  if (team.lane() == 0) {
    const float least = policy.threshold * route_largest_weight(m.weights, n);
    int kept = policy.min_k;
    for (int i = policy.min_k; i < n; ++i) {
      if (m.weights[i] < least) continue;
      m.ids[kept] = m.ids[i];
      m.weights[kept++] = m.weights[i];
    }
    *m.n_kept = kept;
  }
  team.sync();
  return *m.n_kept;
}

/// weight / (sum + eps), the sum by falling selection score; weights that are all 0 stay so.
template <class Team>
SW_ROUTE_FUNCTION void route_divide_by_sum(const Team& team, float* weights, int n, float eps) {
  team.sync();
  float sum = 0.0f;
  for (int i = 0; i < n; ++i) sum += weights[i];
  sum += eps;
  team.sync();
  if (sum == 0.0f) return;
  for (int i = team.lane(); i < n; i += team.size()) weights[i] /= sum;
}

/// The weights of the n selected; returns how many of them stay.
template <class Team>
SW_ROUTE_FUNCTION int route_weigh(const Team& team, const RouterSpec& spec, const LayerPolicy& policy, int n,
                                  const RouteMemory& m) {
  if (spec.score == Score::SoftmaxSelected) {
    const float largest = route_largest_weight(m.weights, n);
    team.sync();
    for (int i = team.lane(); i < n; i += team.size()) m.weights[i] = exp_exact(m.weights[i] - largest);
  }
  n = route_apply_threshold(team, policy, n, m);
  if (spec.score == Score::SoftmaxSelected) route_divide_by_sum(team, m.weights, n, 0.0f);
  if (spec.renorm && policy.k >= spec.renorm_min_k) route_divide_by_sum(team, m.weights, n, spec.renorm_eps);
  for (int i = team.lane(); i < n; i += team.size()) m.weights[i] *= spec.scale;
  team.sync();
  return n;
}

/// Counts a row's n experts, as sw::add_rows does but for the entropy, which is f32 within a row.
template <class Team>
SW_ROUTE_FUNCTION void route_count(const Team& team, int n, const RouteMemory& m, const RouteCounts& counts) {
  const float largest = route_largest_weight(m.weights, n);  // shares of it cannot overflow
  uint32_t n_group_real = 0;                                 // groups in the upper half, real experts below
  float sum = 0.0f, sum_w_log = 0.0f;
  for (int i = team.lane(); i < n; i += team.size()) {
    const int32_t id = m.ids[i], group_begin = id - id % counts.group_size;
    team.count(counts.chosen[id]);
    n_group_real += id < counts.n_expert;
    bool first = true;             // of its group
    for (int j = 0; j < i; ++j) {  // no division: a lone warp waits for each
      first =
          first && static_cast<uint32_t>(m.ids[j] - group_begin) >= static_cast<uint32_t>(counts.group_size);
    }
    n_group_real += first ? 1u << 16 : 0;
    if (!(m.weights[i] > 0.0f)) continue;
    const float w = m.weights[i] / largest;
    sum += w;
    sum_w_log += w > 0.0f ? w * std::log2(w) : 0.0f;
  }
  n_group_real = team.sum(n_group_real);
  sum = team.sum(sum);
  sum_w_log = team.sum(sum_w_log);
  if (team.lane() != 0) return;
  team.count(counts.groups_per_token[n_group_real >> 16]);
  team.count(counts.real_per_token[n_group_real & 0xffff]);
  team.count(*counts.n_tokens);
  if (sum > 0.0f) team.add(*counts.entropy_bits, std::log2(sum) - sum_w_log / sum);
}

/// One token's row: what sw::route writes, to the bit.
/// policy, mask  of the token, in this layer; policy.k at most out.n_slot
/// bias          [n_logits] or null
/// counts        what was chosen is added to these, if wanted
template <class Team>
SW_ROUTE_FUNCTION void route_row(const Team& team, const RouterSpec& spec, const LayerPolicy& policy,
                                 const uint32_t* mask, const float* logits, const float* bias,
                                 const RouteMemory& m, const RouteRow& out, const RouteCounts& counts) {
  route_score(team, spec, logits, m.scores);
  route_bias_and_mask(team, spec, policy, mask, bias, m);
  if (policy.grouped()) route_select_groups(team, spec, m);
  const int n_selected = route_top_k(team, spec, std::min<int>(policy.k, out.n_slot), m);
  const int n = route_weigh(team, spec, policy, n_selected, m);
  if (counts.wanted()) route_count(team, n, m, counts);  // first: its atomics are under way meanwhile
  for (int i = team.lane(); i < n; i += team.size()) {
    const int at = route_rank(m.weights, m.ids, n, i);
    out.ids[at] = m.ids[i];
    out.weights[at] = m.weights[i];
  }
  for (int i = n + team.lane(); i < out.n_slot; i += team.size()) {
    out.ids[i] = -1;
    out.weights[i] = 0.0f;
  }
  if (team.lane() == 0) *out.n_active = n;
}

}  // namespace sw::cuda

#undef SW_ROUTE_FUNCTION
#undef SW_ROUTE_UNROLL
