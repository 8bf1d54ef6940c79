// SPDX-License-Identifier: MIT
#pragma once
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "router/route_counts.h"
#include "router/stats.h"
#include "unit/router/run_route.h"

/// Random routers, policies and logits, and how two routings are compared to the bit.
namespace sw::testing {

struct RouteCase {
  RouterSpec spec = {};
  std::vector<RoutingPolicy> policies = {};
  std::vector<float> bias = {};
};

inline int pick(Rng& rng, int least, int most) {
  return least + static_cast<int>(rng.below(static_cast<uint64_t>(most - least) + 1));
}

/// Small routers, where everything meets in a corner, and the sizes of real ones.
inline void random_size(Rng& rng, RouterSpec& s) {
  struct Size {
    int n_expert, n_zero, n_group;
  };
  constexpr Size kReal[] = {{256, 0, 8}, {512, 256, 1}, {128, 0, 1}, {384, 0, 1}, {160, 0, 8}, {1024, 0, 64}};
  if (rng.below(3) == 0) {
    const Size& size = kReal[rng.below(std::size(kReal))];
    s.n_expert = size.n_expert;
    s.n_expert_zero = size.n_zero;
    s.n_group = size.n_group;
  } else {
    s.n_group = 1 << rng.below(4);
    s.n_expert = s.n_group * pick(rng, 1, rng.below(2) != 0 ? 9 : 40);
    if (s.n_group == 1) s.n_expert_zero = pick(rng, 0, 5);
  }
  s.n_group_used = pick(rng, 1, s.n_group);
}

/// Mostly few experts of many, now and then all there are.
inline int random_k(Rng& rng, int most) {
  return pick(rng, 1, rng.below(4) == 0 ? most : std::min(most, 12));
}

inline RoutingPolicy random_policy(Rng& rng, const RouterSpec& s) {
  RoutingPolicy policy;
  if (rng.below(3) == 0) policy.grouped = rng.below(2) != 0;
  const int most = s.max_k(policy.grouped.value_or(true));
  policy.experts_decode = {{.k = random_k(rng, most)}};
  if (rng.below(3) == 0) policy.threshold = Threshold{random_k(rng, most), static_cast<float>(rng.uniform())};
  if (rng.below(3) == 0) {
    for (int e = 1; e < s.n_logits(); e += pick(rng, 1, 4))
      policy.masks.push_back({.layer = 1, .first = e, .last = e});
  }
  return policy;
}

inline RouteCase random_route_case(Rng& rng) {
  RouteCase c;
  RouterSpec& s = c.spec;
  s.score = static_cast<Score>(rng.below(3));
  random_size(rng, s);
  s.group_score = static_cast<GroupScore>(rng.below(2));
  s.renorm = rng.below(2) != 0;
  s.renorm_eps = rng.below(2) != 0 ? 1e-20f : 0.0f;
  s.renorm_min_k = pick(rng, 1, 2);
  s.scale = rng.below(2) != 0 ? 2.5f : 1.0f;
  s.n_expert_used = random_k(rng, s.max_k(true));
  for (int i = pick(rng, 1, 3); i > 0; --i) c.policies.push_back(random_policy(rng, s));
  if (rng.below(2) != 0) {
    for (int e = 0; e < s.n_logits(); ++e) {
      constexpr float kInf = std::numeric_limits<float>::infinity();
      const float odd = rng.below(8) == 0 ? std::numeric_limits<float>::quiet_NaN() : -kInf;
      c.bias.push_back(rng.below(12) == 0 ? odd : static_cast<float>(rng.uniform() * 2.0 - 1.5));
    }
  }
  return c;
}

/// Ordinary logits, many ties, and values that are no numbers; rows of logits so low that scores are
/// denormal.
inline std::vector<float> random_logits(Rng& rng, int64_t n_row, int n_logits) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kMax = std::numeric_limits<float>::max();
  constexpr float kOdd[] = {
      kInf,   -kInf,  std::numeric_limits<float>::quiet_NaN(), kMax, -kMax, 1e-40f, -0.0f, 0.0f,
      200.0f, -200.0f};
  std::vector<float> logits;
  logits.reserve(static_cast<size_t>(n_row * n_logits));
  for (int64_t t = 0; t < n_row; ++t) {
    const float shift = rng.below(16) == 0 ? -90.0f : 0.0f;
    const uint64_t odd_in = rng.below(20) == 0 ? 3 : 400;  // one of so many values is odd
    const bool ties = rng.below(4) == 0;
    for (int i = 0; i < n_logits; ++i) {
      const auto plain = static_cast<float>(rng.uniform() * 12.0 - 6.0);
      float x = ties ? static_cast<float>(pick(rng, -2, 2)) * 0.5f : plain;
      if (rng.below(odd_in) == 0) x = kOdd[rng.below(std::size(kOdd))];
      logits.push_back(x + shift);
    }
  }
  return logits;
}

/// A case's policies in a table, as the second of two layers, and a policy id for each of `n_row` rows.
struct RouteTable {
  static constexpr int kMoeLayer = 1;

  RouteTable(Rng& rng, const RouteCase& c, int64_t n_row)
      : table({{0, c.spec}, {1, c.spec}}, 2, c.spec.n_logits(), 8) {
    std::vector<uint16_t> ids = {0};
    for (const RoutingPolicy& policy : c.policies) ids.push_back(table.resolve(policy, Phase::Decode));
    for (const uint16_t id : ids) k_max = std::max(k_max, table.at(id, kMoeLayer).k);
    k_max += pick(rng, 0, 2);
    for (int64_t t = 0; t < n_row; ++t) policy_ids.push_back(ids[rng.below(ids.size())]);
  }

  PolicyTable table;
  std::vector<uint16_t> policy_ids;
  int k_max = 0;
};

inline OwnedRouting route_on_cpu(const RouteCase& c, const RouteTable& t, const std::vector<float>& logits) {
  const auto n_row = std::ssize(t.policy_ids);
  OwnedRouting out(n_row, t.k_max);
  RouteScratch scratch(c.spec);
  route(c.spec, t.table.view(), RouteTable::kMoeLayer, t.policy_ids,
        {logits.data(), n_row, c.spec.n_logits()}, c.bias, scratch, out.view);
  return out;
}

/// Room for what a layer's router counts, and the view of it.
struct OwnedCounts {
  OwnedCounts(const RouterSpec& spec, int k_max)
      : layer{.layer = 1, .router = spec},
        k_max(k_max),
        memory(count_bytes(spec, k_max) / sizeof(uint64_t)),
        view(counts_in(reinterpret_cast<std::byte*>(memory.data()), spec, k_max)) {}
  OwnedCounts(OwnedCounts&&) = default;  // as of OwnedRouting

  LayerStats read() const {
    return read_counts(reinterpret_cast<const std::byte*>(memory.data()), layer, k_max);
  }

  MoeLayer layer;
  int k_max;
  std::vector<uint64_t> memory;
  RouteCounts view;
};

/// What RoutingStats counts of a routing.
inline LayerStats stats_of(const RouterSpec& spec, const Routing& routing) {
  const MoeLayer layer{.layer = 1, .router = spec};
  RoutingStats stats({&layer, 1}, static_cast<int>(routing.ids.n_cols()));
  stats.add(0, routing);
  return stats.layers()[0];
}

/// Equal counts; the entropy, a sum in any order of logarithms of any kind, within `bound` per token.
inline void expect_same_counts(const LayerStats& got, const LayerStats& want, double bound = 1e-5) {
  ASSERT_EQ(got.n_tokens, want.n_tokens);
  ASSERT_EQ(got.counts, want.counts);
  ASSERT_EQ(got.groups_per_token, want.groups_per_token);
  ASSERT_EQ(got.real_per_token, want.real_per_token);
  ASSERT_NEAR(got.entropy_bits, want.entropy_bits, bound * static_cast<double>(want.n_tokens));
}

/// Equal ids and counts, and weights equal to the bit.
inline void expect_same_bits(const OwnedRouting& got, const OwnedRouting& want) {
  ASSERT_EQ(got.n_active, want.n_active);
  ASSERT_EQ(got.ids, want.ids);
  for (size_t i = 0; i < want.weights.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(got.weights[i]), std::bit_cast<uint32_t>(want.weights[i]))
        << "slot " << i << ": " << got.weights[i] << " and " << want.weights[i];
  }
}

}  // namespace sw::testing
