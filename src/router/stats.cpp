// SPDX-License-Identifier: MIT
#include "router/stats.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "router/route_counts.h"

namespace sw {
namespace {

void add_counts(std::vector<uint64_t>& to, const std::vector<uint64_t>& from) {
  to.resize(std::max(to.size(), from.size()));  // a run may have planned for more experts per token
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

LayerStats empty_stats(const MoeLayer& layer, int experts_max) {
  const auto zeros = [](int n) { return std::vector<uint64_t>(static_cast<size_t>(n)); };
  return {.layer = layer.layer,
          .n_expert = layer.router.n_expert,
          .group_size = layer.router.group_size(),
          .counts = zeros(layer.router.n_logits()),
          .groups_per_token = zeros(layer.router.n_count_group() + 1),
          .real_per_token = zeros(experts_max + 1)};
}

RoutingStats::RoutingStats(std::span<const MoeLayer> layers, int experts_max) {
  for (const MoeLayer& layer : layers) layers_.push_back(empty_stats(layer, experts_max));
}

RoutingStats::RoutingStats(std::span<const MoeLayer> layers, std::vector<LayerStats> counted)
    : RoutingStats(layers, 0) {
  RoutingStats before(layers, 0);
  before.layers_ = std::move(counted);
  merge(before);
}

void RoutingStats::add(int moe_layer, const Routing& routing) {
  LayerStats& s = layers_[static_cast<size_t>(moe_layer)];
  add_rows({.entropy_bits = &s.entropy_bits,
            .n_tokens = &s.n_tokens,
            .chosen = s.counts.data(),
            .groups_per_token = s.groups_per_token.data(),
            .real_per_token = s.real_per_token.data(),
            .n_expert = s.n_expert,
            .group_size = s.group_size},
           routing);
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
