// SPDX-License-Identifier: MIT
#include "router/stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

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

void add_counts(std::vector<uint64_t>& to, const std::vector<uint64_t>& from) {
  to.resize(std::max(to.size(), from.size()));  // a run may have planned for more experts a token
  std::transform(from.begin(), from.end(), to.begin(), to.begin(), std::plus<>());
}

bool same_model(const LayerStats& a, const LayerStats& b) {
  return a.layer == b.layer && a.n_expert == b.n_expert && a.group_size == b.group_size &&
         a.counts.size() == b.counts.size();
}

}  // namespace

double LayerStats::mean_count() const {
  const auto real = std::span(counts).first(static_cast<size_t>(n_expert));
  return static_cast<double>(std::accumulate(real.begin(), real.end(), uint64_t{0})) / n_expert;
}

double LayerStats::imbalance() const {
  const double mean = mean_count();
  const uint64_t most = *std::max_element(counts.begin(), counts.begin() + n_expert);
  return mean > 0.0 ? static_cast<double>(most) / mean : 0.0;
}

RoutingStats::RoutingStats(std::span<const MoeLayer> layers, int experts_max) {
  size_t most_groups = 0;
  for (const MoeLayer& l : layers) {
    const auto n_logits = static_cast<size_t>(l.router.n_logits());
    const size_t n_group = n_logits / static_cast<size_t>(l.router.group_size());
    layers_.push_back({.layer = l.layer,
                       .n_expert = l.router.n_expert,
                       .group_size = l.router.group_size(),
                       .counts = std::vector<uint64_t>(n_logits),
                       .groups_per_token = std::vector<uint64_t>(n_group + 1),
                       .real_per_token = std::vector<uint64_t>(static_cast<size_t>(experts_max) + 1)});
    most_groups = std::max(most_groups, n_group);
  }
  seen_.resize(most_groups);
}

RoutingStats::RoutingStats(std::span<const MoeLayer> layers, std::vector<LayerStats> counted)
    : RoutingStats(layers, 0) {
  RoutingStats before(layers, 0);
  before.layers_ = std::move(counted);
  merge(before);
}

void RoutingStats::add(int moe_layer, const Routing& routing) {
  LayerStats& s = layers_[static_cast<size_t>(moe_layer)];
  for (int64_t t = 0; t < routing.n_tokens(); ++t) {
    const auto n_active = static_cast<size_t>(routing.n_active[static_cast<size_t>(t)]);
    size_t n_group = 0, n_real = 0;
    ++n_rows_;
    for (const int32_t id : std::span(routing.ids.row(t), n_active)) {
      ++s.counts[static_cast<size_t>(id)];
      n_real += id < s.n_expert;
      uint64_t& seen = seen_[static_cast<size_t>(id / s.group_size)];
      n_group += seen != n_rows_;
      seen = n_rows_;
    }
    ++s.groups_per_token[n_group];
    ++s.real_per_token[n_real];
    s.entropy_bits += entropy_bits({routing.weights.row(t), n_active});
  }
  s.n_tokens += static_cast<uint64_t>(routing.n_tokens());
}

void RoutingStats::merge(const RoutingStats& other) {
  if (!std::ranges::equal(layers_, other.layers_, same_model)) {
    throw Error({.what = "these routing statistics are of another model",
                 .expected = "the same layers, experts and groups"});
  }
  for (size_t l = 0; l < layers_.size(); ++l) {
    LayerStats& to = layers_[l];
    const LayerStats& from = other.layers_[l];
    to.n_tokens += from.n_tokens;
    to.entropy_bits += from.entropy_bits;
    add_counts(to.counts, from.counts);
    add_counts(to.groups_per_token, from.groups_per_token);
    add_counts(to.real_per_token, from.real_per_token);
  }
}

}  // namespace sw
