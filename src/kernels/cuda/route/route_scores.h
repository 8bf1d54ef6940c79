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
#include "router/spec.h"

#ifdef __CUDACC__
#define SW_ROUTE_FUNCTION __device__ inline
#define SW_ROUTE_UNROLL _Pragma("unroll 8")  // several reads on their way at once
#define SW_ROUTE_UNROLL_ALL _Pragma("unroll")
#define SW_ROUTE_UNROLL_SUM _Pragma("unroll 32")
#else
#define SW_ROUTE_FUNCTION inline
#define SW_ROUTE_UNROLL
#define SW_ROUTE_UNROLL_ALL
#define SW_ROUTE_UNROLL_SUM
#endif

/// How a GPU routes a token: sw::route's arithmetic, its sums in sw::route's order, shared out among the
/// lanes of a team. Any compiler compiles it, so that the tests run the very same code on the CPU against
/// sw::route.
///
/// A Team is the lanes that work on one row: lane() and size() (at most kMostRouteLanes where it selects),
/// sync() (after it all see what any wrote), max(x) and sum(x) over what the lanes hand in, place(wanted, n)
/// (n plus how many lanes before this one want; n grows by all that want), once(f) (f()'s value, which some
/// lanes find, then a sync); count(counter) and add(total, x) are atomic. Item i of an array is lane
/// i % size()'s, so what a lane wrote for an item it may read for that item without a sync.
namespace sw::cuda {

inline constexpr int kMostRouteLanes = 32;
/// Items that a lane reads before it writes any: the compiler cannot know that they are apart.
inline constexpr int kRouteBatch = 8;

/// A router, and what would cost a lane a division: a lone warp waits for each.
struct RouteShape : RouterSpec {
  int n_member = 0;    ///< experts of a group
  int part_shift = 0;  ///< groups are searched in 2^part_shift parts, where there are more lanes than groups
  uint64_t inverse = 0;  ///< i / n_member = i * inverse >> 32, exactly for numbers as small as these

  explicit RouteShape(const RouterSpec& spec) : RouterSpec(spec), n_member(group_size()) {
    while (2 * n_part() <= kMostRouteLanes) ++part_shift;
    inverse = (uint64_t{1} << 32) / static_cast<uint64_t>(n_member) + 1;
  }
  constexpr int n_part() const { return (n_group > 1 ? n_group : 1) << part_shift; }
};

/// A row in the making: memory that a team shares.
struct RouteMemory {
  uint64_t* candidates = nullptr;  ///< [n_logits] key and id, see route_entry()
  float* scores = nullptr;         ///< [n_logits] unbiased
  uint32_t* keys = nullptr;        ///< [n_logits] at first the bits of the bias, then the selection's keys
  uint32_t* lane_best = nullptr;   ///< [kMostRouteLanes] each lane's best key
  uint32_t* parts = nullptr;       ///< [2 * n_part()] the best two keys of each part
  float* group_scores = nullptr;   ///< [n_group]
  uint32_t* group_used = nullptr;  ///< [n_group]
  float* weights = nullptr;        ///< [n_slot] of the selected, best first
  int32_t* ids = nullptr;          ///< [n_slot]
  int32_t* n_kept = nullptr;       ///< [1]
};

inline int64_t route_memory_bytes(const RouteShape& shape, int64_t n_slot) {
  return 8 * int64_t{shape.n_logits()} + 4 * (2 * int64_t{shape.n_logits()} + kMostRouteLanes +
                                              2 * shape.n_part() + 2 * shape.n_group + 2 * n_slot + 1);
}

/// The arrays in `memory`, of route_memory_bytes(), aligned to 8.
SW_ROUTE_FUNCTION RouteMemory route_memory(std::byte* memory, const RouteShape& shape, int n_slot) {
  const int n = shape.n_logits();
  RouteMemory m;
  m.candidates = reinterpret_cast<uint64_t*>(memory);
  m.lane_best = reinterpret_cast<uint32_t*>(m.candidates + n);
  m.scores = reinterpret_cast<float*>(m.lane_best + kMostRouteLanes);
  m.keys = reinterpret_cast<uint32_t*>(m.scores + n);
  m.parts = m.keys + n;
  m.group_scores = reinterpret_cast<float*>(m.parts + 2 * shape.n_part());
  m.group_used = reinterpret_cast<uint32_t*>(m.group_scores + shape.n_group);
  m.weights = reinterpret_cast<float*>(m.group_used + shape.n_group);
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

/// An integer that orders as the float does; both zeros are one number. Not for NaN. Never 0.
SW_ROUTE_FUNCTION uint32_t route_key(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x == 0.0f ? 0.0f : x);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

/// The float whose key it is.
SW_ROUTE_FUNCTION float route_unkey(uint32_t key) {
  return std::bit_cast<float>(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}

/// A key and its expert as one number that is larger the better it is: by the key, then the lower id.
SW_ROUTE_FUNCTION uint64_t route_entry(uint32_t key, int id) {
  return uint64_t{key} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}
SW_ROUTE_FUNCTION int32_t route_entry_id(uint64_t entry) {
  return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(entry));
}

/// The bias to where route_scores() finds it: nothing that waits for the logits.
template <class Team>
SW_ROUTE_FUNCTION void route_prepare(const Team& team, const RouterSpec& spec, const float* bias,
                                     const RouteMemory& m) {
  if (!bias) return;
  for (int i = team.lane(); i < spec.n_logits(); i += team.size())
    m.keys[i] = std::bit_cast<uint32_t>(bias[i]);
}

/// An expert's score and its key in the selection: 0 where it must never be selected.
SW_ROUTE_FUNCTION void route_put_score(const LayerPolicy& policy, const uint32_t* mask, bool biased, int i,
                                       float score, const RouteMemory& m) {
  const float s = biased ? route_tame(score + std::bit_cast<float>(m.keys[i])) : score;
  const bool forbidden = policy.masked() && (mask[i / 32] >> (i % 32) & 1) != 0;
  m.scores[i] = score;
  m.keys[i] = !forbidden && s > kRouteNever ? route_key(s) : 0;
}

/// Softmax over all logits, up to the division: exponentials into `scores`, 0 for those of NaN; returns their
/// sum. Where every logit is -inf or NaN, that is 0.
template <class Team>
SW_ROUTE_FUNCTION float route_exponentials(const Team& team, int n, const float* logits, float* scores) {
  float largest = kRouteNever;
  SW_ROUTE_UNROLL
  for (int i = team.lane(); i < n; i += team.size()) {
    const float x = route_tame(logits[i]);
    if (x > largest) largest = x;
  }
  largest = route_unkey(team.max(route_key(largest)));
  for (int i = team.lane(); i < n; i += team.size()) {
    const float e = exp_exact(route_tame(logits[i]) - largest);
    scores[i] = e == e ? e : 0.0f;
  }
  team.sync();
  return team.once([&] {
    float sum = 0.0f;  // from left to right, as the bits are fixed
    SW_ROUTE_UNROLL_SUM
    for (int i = 0; i < n; ++i) sum += scores[i];
    return sum;
  });
}

/// Logits -> scores and keys of the lane's own experts.
/// mask  of the token's policy in this layer
template <class Team>
SW_ROUTE_FUNCTION void route_scores(const Team& team, const RouterSpec& spec, const LayerPolicy& policy,
                                    const uint32_t* mask, const float* logits, bool biased,
                                    const RouteMemory& m) {
  const int n = spec.n_logits();
  if (spec.score == Score::Softmax) {
    const float sum = route_exponentials(team, n, logits, m.scores);
    for (int i = team.lane(); i < n; i += team.size()) {
      const float x = logits[i];
      route_put_score(policy, mask, biased, i, x == x ? m.scores[i] / sum : x, m);
    }
    return;
  }
  for (int i = team.lane(); i < n; i += team.size()) {
    const float x = logits[i];
    route_put_score(policy, mask, biased, i, spec.score == Score::Sigmoid ? sigmoid_exact(x) : route_tame(x),
                    m);
  }
}

}  // namespace sw::cuda
