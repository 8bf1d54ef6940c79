// SPDX-License-Identifier: MIT
#include "router/route_counts.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "router/stats.h"

namespace sw {
namespace {

/// -sum p log2 p of the weights divided by their sum.
double entropy_bits(std::span<const float> weights) {
  double sum = 0.0, sum_w_log = 0.0;
  for (const float w : weights) {
    if (!(w > 0.0f)) continue;
    sum += w;
    sum_w_log += w * std::log2(w);
  }
  return sum > 0.0 ? std::log2(sum) - sum_w_log / sum : 0.0;
}

/// Whether no id before `ids[i]` is of its group. A row is short: nothing beats comparing.
bool first_of_group(std::span<const int32_t> ids, size_t i, int group_size) {
  const int32_t group = ids[i] / group_size;
  for (size_t j = 0; j < i; ++j) {
    if (ids[j] / group_size == group) return false;
  }
  return true;
}

}  // namespace

size_t count_bytes(const RouterSpec& spec, int k_max) {
  const auto n_count = static_cast<size_t>(spec.n_logits() + spec.n_count_group() + 1 + k_max + 1);
  return sizeof(double) + sizeof(uint64_t) * (1 + n_count);
}

RouteCounts counts_in(std::byte* memory, const RouterSpec& spec, int k_max) {
  RouteCounts c;
  c.entropy_bits = reinterpret_cast<double*>(memory);
  c.n_tokens = reinterpret_cast<uint64_t*>(c.entropy_bits + 1);
  c.chosen = c.n_tokens + 1;
  c.groups_per_token = c.chosen + spec.n_logits();
  c.real_per_token = c.groups_per_token + spec.n_count_group() + 1;
  c.n_expert = spec.n_expert;
  c.group_size = spec.group_size();
  SW_ASSERT(reinterpret_cast<std::byte*>(c.real_per_token + k_max + 1) == memory + count_bytes(spec, k_max));
  return c;
}

void add_rows(const RouteCounts& counts, const Routing& routing) {
  for (int64_t t = 0; t < routing.n_tokens(); ++t) {
    const auto n_active = static_cast<size_t>(routing.n_active[static_cast<size_t>(t)]);
    const std::span<const int32_t> ids(routing.ids.row(t), n_active);
    size_t n_group = 0, n_real = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      ++counts.chosen[ids[i]];
      n_real += ids[i] < counts.n_expert;
      n_group += first_of_group(ids, i, counts.group_size);
    }
    ++counts.groups_per_token[n_group];
    ++counts.real_per_token[n_real];
    *counts.entropy_bits += entropy_bits({routing.weights.row(t), n_active});
  }
  *counts.n_tokens += static_cast<uint64_t>(routing.n_tokens());
}

LayerStats read_counts(const std::byte* memory, const MoeLayer& layer, int k_max) {
  LayerStats stats = empty_stats(layer, k_max);
  // Nothing is written: it is the view that has no const twin.
  const RouteCounts from = counts_in(const_cast<std::byte*>(memory), layer.router, k_max);
  const auto read = [](std::vector<uint64_t>& to, const uint64_t* counts) {
    std::memcpy(to.data(), counts, to.size() * sizeof(uint64_t));
  };
  stats.entropy_bits = *from.entropy_bits;
  stats.n_tokens = *from.n_tokens;
  read(stats.counts, from.chosen);
  read(stats.groups_per_token, from.groups_per_token);
  read(stats.real_per_token, from.real_per_token);
  return stats;
}

}  // namespace sw
