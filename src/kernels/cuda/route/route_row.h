// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/route/route_scores.h"
#include "router/route_counts.h"

/// From the scores to a token's experts and their weights.
namespace sw::cuda {

/// The keys of the items first, first + step, ... of n, the `from`-th of them first; 0 beyond the last.
SW_ROUTE_FUNCTION void route_read_keys(const uint32_t* keys, int n, int first, int step, int from,
                                       uint32_t (&batch)[kRouteBatch]) {
  SW_ROUTE_UNROLL_ALL
  for (int j = 0; j < kRouteBatch; ++j) {
    const int i = first + (j + from) % kRouteBatch * step;
    batch[j] = i < n ? keys[i] : 0;
  }
}

/// The best two keys of the members first, first + step, ... of group g of n. Groups begin to read at
/// different ones, and so in different banks.
SW_ROUTE_FUNCTION void route_best_two(const uint32_t* members, int n, int first, int step, uint32_t g,
                                      uint32_t* two) {
  uint32_t best = 0, second = 0;
  for (; first < n; first += kRouteBatch * step) {
    uint32_t keys[kRouteBatch];
    route_read_keys(members, n, first, step, static_cast<int>(g % kRouteBatch), keys);
    SW_ROUTE_UNROLL_ALL
    for (const uint32_t key : keys) {
      second = std::max(second, std::min(best, key));
      best = std::max(best, key);
    }
  }
  two[0] = best;
  two[1] = second;
}

/// -inf if and only if no member is selectable.
SW_ROUTE_FUNCTION float route_group_score(GroupScore function, const uint32_t* parts, int n_part) {
  uint32_t best = 0, second = 0;
  for (int i = 0; i < n_part; ++i) {
    const uint32_t a = parts[2 * i], b = parts[2 * i + 1];
    second = std::max(std::max(second, b), std::min(best, a));
    best = std::max(best, a);
  }
  if (best == 0) return kRouteNever;
  if (function == GroupScore::Max || second == 0) return route_unkey(best);
  const float sum = route_tame(route_unkey(best) + route_unkey(second));
  return sum < -kRouteLargest ? -kRouteLargest : sum;
}

/// How many of n entries come before entry `i`: by falling score, then by rising id.
SW_ROUTE_FUNCTION int route_rank(const float* scores, const int32_t* ids, int n, int i) {
  const float mine = scores[i];
  const int32_t my_id = ids ? ids[i] : i;
  int rank = 0;
  SW_ROUTE_UNROLL
  for (int j = 0; j < n; ++j) {
    const bool first = (ids ? ids[j] : j) < my_id;
    rank += scores[j] > mine || (scores[j] == mine && first);
  }
  return rank;
}

/// Which groups are the best. Begins and ends with a sync.
template <class Team>
SW_ROUTE_FUNCTION void route_choose_groups(const Team& team, const RouteShape& shape, const RouteMemory& m) {
  const int size = shape.n_member, shift = shape.part_shift, n_group = shape.n_group;
  team.sync();
  for (int i = team.lane(); i < n_group << shift; i += team.size()) {
    const int g = i >> shift, part = i & ((1 << shift) - 1);
    route_best_two(m.keys + g * size, size, part, 1 << shift, static_cast<uint32_t>(g), m.parts + 2 * i);
  }
  team.sync();
  for (int g = team.lane(); g < n_group; g += team.size())
    m.group_scores[g] = route_group_score(shape.group_score, m.parts + (2 * g << shift), 1 << shift);
  team.sync();
  for (int g = team.lane(); g < n_group; g += team.size())
    m.group_used[g] = route_rank(m.group_scores, nullptr, n_group, g) < shape.n_group_used;
  team.sync();
}

/// The best of the lane's own keys. Where `grouped`, those outside the best groups become 0.
template <class Team>
SW_ROUTE_FUNCTION uint32_t route_own_best(const Team& team, const RouteShape& shape, bool grouped,
                                          const RouteMemory& m) {
  const int n = shape.n_logits(), n_in_group = shape.n_group * shape.n_member, step = team.size();
  uint32_t best = 0;
  for (int first = team.lane(); first < n; first += kRouteBatch * step) {
    uint32_t keys[kRouteBatch];
    route_read_keys(m.keys, n, first, step, 0, keys);
    if (grouped) {
      SW_ROUTE_UNROLL_ALL
      for (int j = 0; j < kRouteBatch; ++j) {
        const int i = first + j * step;
        if (i < n_in_group && m.group_used[static_cast<uint64_t>(i) * shape.inverse >> 32] == 0) keys[j] = 0;
      }
      SW_ROUTE_UNROLL_ALL
      for (int j = 0; j < kRouteBatch; ++j) {
        if (first + j * step < n) m.keys[first + j * step] = keys[j];
      }
    }
    SW_ROUTE_UNROLL_ALL
    for (const uint32_t key : keys) best = std::max(best, key);
  }
  return best;
}

/// A bound that the k best keys reach and few others: the k-th best of the lanes' best. 0 where fewer lanes
/// than k have one.
template <class Team>
SW_ROUTE_FUNCTION uint32_t route_least_key(const Team& team, uint32_t own_best, int k, const RouteMemory& m) {
  if (k > team.size()) return 0;
  m.lane_best[team.lane()] = own_best;
  team.sync();
  int n_better = 0;
  SW_ROUTE_UNROLL
  for (int l = 0; l < team.size(); ++l) n_better += m.lane_best[l] > own_best;
  return ~team.max(n_better < k ? ~own_best : 0);
}

/// Lists the experts whose keys reach `least`, in any order; returns how many. Ends with a sync.
template <class Team>
SW_ROUTE_FUNCTION uint32_t route_list(const Team& team, int n_logits, uint32_t least, const RouteMemory& m) {
  uint32_t n = 0;
  for (int begin = 0; begin < n_logits; begin += kRouteBatch * team.size()) {
    const int first = begin + team.lane();
    uint32_t keys[kRouteBatch], at[kRouteBatch];
    route_read_keys(m.keys, n_logits, first, team.size(), 0, keys);
    SW_ROUTE_UNROLL_ALL
    for (int j = 0; j < kRouteBatch; ++j) at[j] = team.place(keys[j] != 0 && keys[j] >= least, n);
    SW_ROUTE_UNROLL_ALL
    for (int j = 0; j < kRouteBatch; ++j) {
      if (keys[j] != 0 && keys[j] >= least)
        m.candidates[at[j]] = route_entry(keys[j], first + j * team.size());
    }
  }
  team.sync();
  return n;
}

/// The up to k best experts, best first, into ids and (their unbiased scores) weights; returns how many. An
/// expert's place is the number of better ones, counted among the few that reach a bound. Ends with a sync.
template <class Team>
SW_ROUTE_FUNCTION int route_top_k(const Team& team, const RouteShape& shape, bool grouped, int k,
                                  const RouteMemory& m) {
  const uint32_t least = route_least_key(team, route_own_best(team, shape, grouped, m), k, m);
  const uint32_t n = route_list(team, shape.n_logits(), least, m);
  for (auto c = static_cast<uint32_t>(team.lane()); c < n; c += static_cast<uint32_t>(team.size())) {
    const uint64_t entry = m.candidates[c];
    const int32_t id = route_entry_id(entry);
    const float score = m.scores[id];
    int rank = 0;
    SW_ROUTE_UNROLL
    for (uint32_t j = 0; j < n; ++j) rank += m.candidates[j] > entry;
    if (rank >= k) continue;
    m.ids[rank] = id;
    m.weights[rank] = score;
  }
  team.sync();
  return std::min(k, static_cast<int>(n));
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

/// weight / (sum + eps) * scale, the sum by falling selection score; weights that are all 0 stay so. Begins
/// with a sync.
template <class Team>
SW_ROUTE_FUNCTION void route_divide_by_sum(const Team& team, float* weights, int n, float eps, float scale) {
  team.sync();
  float sum = 0.0f;
  SW_ROUTE_UNROLL
  for (int i = 0; i < n; ++i) sum += weights[i];
  sum += eps;
  team.sync();
  for (int i = team.lane(); i < n; i += team.size())
    weights[i] = (sum == 0.0f ? weights[i] : weights[i] / sum) * scale;
}

/// The weights of the n selected; returns how many of them stay. Ends with a sync.
template <class Team>
SW_ROUTE_FUNCTION int route_weigh(const Team& team, const RouterSpec& spec, const LayerPolicy& policy, int n,
                                  const RouteMemory& m) {
  const bool softmax = spec.score == Score::SoftmaxSelected;
  const bool renorm = spec.renorm && policy.k >= spec.renorm_min_k;
  if (softmax) {
    const float largest = route_largest_weight(m.weights, n);
    team.sync();
    for (int i = team.lane(); i < n; i += team.size()) m.weights[i] = exp_exact(m.weights[i] - largest);
  }
  n = route_apply_threshold(team, policy, n, m);
  if (softmax) route_divide_by_sum(team, m.weights, n, 0.0f, renorm ? 1.0f : spec.scale);
  if (renorm) route_divide_by_sum(team, m.weights, n, spec.renorm_eps, spec.scale);
  if (!softmax && !renorm) {
    for (int i = team.lane(); i < n; i += team.size()) m.weights[i] *= spec.scale;
  }
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

/// From the scores and keys that route_scores() made (of the lane's own experts at least, if the team is the
/// same) to a token's row.
template <class Team>
SW_ROUTE_FUNCTION void route_choose(const Team& team, const RouteShape& shape, const LayerPolicy& policy,
                                    const RouteMemory& m, const RouteRow& out, const RouteCounts& counts) {
  if (policy.grouped()) route_choose_groups(team, shape, m);
  const int n_selected = route_top_k(team, shape, policy.grouped(), std::min<int>(policy.k, out.n_slot), m);
  const int n = route_weigh(team, shape, policy, n_selected, m);
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

/// One token's row: what sw::route writes, to the bit.
/// policy, mask  of the token, in this layer; policy.k at most out.n_slot
/// bias          [n_logits] or null
/// counts        what was chosen is added to these, if wanted
template <class Team>
SW_ROUTE_FUNCTION void route_row(const Team& team, const RouteShape& shape, const LayerPolicy& policy,
                                 const uint32_t* mask, const float* logits, const float* bias,
                                 const RouteMemory& m, const RouteRow& out, const RouteCounts& counts) {
  route_prepare(team, shape, bias, m);
  route_scores(team, shape, policy, mask, logits, bias != nullptr, m);
  route_choose(team, shape, policy, m, out, counts);
}

}  // namespace sw::cuda
