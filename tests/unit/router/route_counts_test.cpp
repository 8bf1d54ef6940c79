// SPDX-License-Identifier: MIT
#include "router/route_counts.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "base/rng.h"
#include "router/stats.h"
#include "unit/router/run_route.h"

namespace sw {
namespace {

using testing::OwnedRouting;

constexpr int kSlots = 6;
constexpr int64_t kRows = 200;

/// Rows of no expert to kSlots different ones; what stands in unused slots is not to be read.
OwnedRouting random_rows(Rng& rng, const RouterSpec& spec) {
  OwnedRouting r(kRows, kSlots);
  for (int64_t t = 0; t < kRows; ++t) {
    std::set<int32_t> ids;
    const auto n = static_cast<size_t>(rng.below(kSlots + 1));
    while (ids.size() < n)
      ids.insert(static_cast<int32_t>(rng.below(static_cast<uint64_t>(spec.n_logits()))));
    r.n_active[static_cast<size_t>(t)] = static_cast<int32_t>(n);
    std::fill_n(r.view.ids.row(t), kSlots, -1);
    std::copy(ids.begin(), ids.end(), r.view.ids.row(t));
    for (size_t i = 0; i < n; ++i)
      r.view.weights.at(t, static_cast<int64_t>(i)) =
          rng.below(9) == 0 ? 0.0f : static_cast<float>(rng.uniform());
  }
  return r;
}

/// Counted once more, plainly.
struct PlainCounts {
  PlainCounts(const RouterSpec& spec, const Routing& routing)
      : chosen(static_cast<size_t>(spec.n_logits())), groups(9), real(kSlots + 1) {
    for (int64_t t = 0; t < routing.n_tokens(); ++t) {
      std::set<int32_t> seen;
      size_t n_real = 0;
      double sum = 0;
      const int32_t n = routing.n_active[static_cast<size_t>(t)];
      for (int32_t i = 0; i < n; ++i) {
        const int32_t id = routing.ids.at(t, i);
        ++chosen[static_cast<size_t>(id)];
        n_real += id < spec.n_expert ? 1 : 0;
        seen.insert(id / spec.group_size());
        sum += static_cast<double>(routing.weights.at(t, i));
      }
      for (int32_t i = 0; i < n; ++i) {
        const double p = static_cast<double>(routing.weights.at(t, i)) / sum;
        if (p > 0) entropy -= p * std::log2(p);
      }
      ++groups[seen.size()];
      ++real[n_real];
    }
  }
  std::vector<uint64_t> chosen, groups, real;
  double entropy = 0;
};

std::vector<RouterSpec> routers() {
  return {{.n_expert = 16, .n_group = 8, .n_group_used = 2},
          {.n_expert = 12, .n_expert_zero = 5},
          {.n_expert = 7}};
}

TEST(RouteCounts, AreThoseOfAPlainCount) {
  Rng rng(4);
  for (const RouterSpec& spec : routers()) {
    const MoeLayer layer{.layer = 3, .router = spec};
    std::vector<uint64_t> memory(count_bytes(spec, kSlots) / sizeof(uint64_t));
    auto* bytes = reinterpret_cast<std::byte*>(memory.data());
    const OwnedRouting rows = random_rows(rng, spec);
    add_rows(counts_in(bytes, spec, kSlots), rows.view);
    const LayerStats got = read_counts(bytes, layer, kSlots);
    PlainCounts want(spec, rows.view);
    want.groups.resize(got.groups_per_token.size());
    EXPECT_EQ(got.layer, 3);
    EXPECT_EQ(got.n_expert, spec.n_expert);
    EXPECT_EQ(got.group_size, spec.group_size());
    EXPECT_EQ(got.n_tokens, static_cast<uint64_t>(kRows));
    EXPECT_EQ(got.counts, want.chosen);
    EXPECT_EQ(got.groups_per_token, want.groups);
    EXPECT_EQ(got.real_per_token, want.real);
    EXPECT_NEAR(got.entropy_bits, want.entropy, 1e-4);
  }
}

/// In any cut, and to the last bit of the entropy.
TEST(RouteCounts, AreThoseOfRoutingStats) {
  Rng rng(5);
  for (const RouterSpec& spec : routers()) {
    const MoeLayer layer{.layer = 0, .router = spec};
    RoutingStats stats({&layer, 1}, kSlots);
    std::vector<uint64_t> memory(count_bytes(spec, kSlots) / sizeof(uint64_t));
    auto* bytes = reinterpret_cast<std::byte*>(memory.data());
    for (int batch = 0; batch < 3; ++batch) {
      const OwnedRouting rows = random_rows(rng, spec);
      stats.add(0, rows.view);
      for (int64_t t = 0; t < kRows; t += 40) {
        add_rows(counts_in(bytes, spec, kSlots), {rows.view.ids.rows(t, 40), rows.view.weights.rows(t, 40),
                                                  rows.view.n_active.subspan(static_cast<size_t>(t), 40)});
      }
    }
    const LayerStats got = read_counts(bytes, layer, kSlots), &want = stats.layers()[0];
    EXPECT_EQ(got.n_tokens, want.n_tokens);
    EXPECT_EQ(got.counts, want.counts);
    EXPECT_EQ(got.groups_per_token, want.groups_per_token);
    EXPECT_EQ(got.real_per_token, want.real_per_token);
    EXPECT_EQ(std::bit_cast<uint64_t>(got.entropy_bits), std::bit_cast<uint64_t>(want.entropy_bits));
  }
}

}  // namespace
}  // namespace sw
