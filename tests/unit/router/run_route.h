// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "router/routing.h"

namespace sw::testing {

/// A Routing with its memory.
struct OwnedRouting {
  OwnedRouting(int64_t n_tokens, int k_max)
      : ids(static_cast<size_t>(n_tokens * k_max), 77),
        weights(ids.size(), 77.0f),
        n_active(static_cast<size_t>(n_tokens), 77),
        view{.ids = {ids.data(), n_tokens, k_max},
             .weights = {weights.data(), n_tokens, k_max},
             .n_active = n_active} {}
  OwnedRouting(OwnedRouting&&) = default;  // the vectors' memory, which the view borrows, stays where it is

  std::vector<int32_t> row_ids(int64_t t) const {
    return {view.ids.row(t), view.ids.row(t) + view.ids.n_cols()};
  }
  std::vector<float> row_weights(int64_t t) const {
    return {view.weights.row(t), view.weights.row(t) + view.weights.n_cols()};
  }

  std::vector<int32_t> ids;
  std::vector<float> weights;
  std::vector<int32_t> n_active;
  Routing view;
};

/// One MoE layer (layer 0 of 1) and one policy.
struct OneLayer {
  explicit OneLayer(const RouterSpec& router, const RoutingPolicy& policy = {})
      : spec(router),
        table({{.layer = 0, .router = router}}, 1, router.n_logits(), 4),
        id(table.resolve(policy, Phase::Decode)) {}

  /// Routes logits [n_tokens, n_logits]; `k_max` 0: the policy's k.
  OwnedRouting operator()(std::span<const float> logits, std::span<const float> bias = {},
                          int k_max = 0) const {
    const int64_t n_tokens = std::ssize(logits) / spec.n_logits();
    const std::vector<uint16_t> ids(static_cast<size_t>(n_tokens), id);
    RouteScratch scratch(spec);
    OwnedRouting out(n_tokens, k_max > 0 ? k_max : table.at(id, 0).k);
    route(spec, table.view(), 0, ids, {logits.data(), n_tokens, spec.n_logits()}, bias, scratch, out.view);
    return out;
  }

  RouterSpec spec;
  PolicyTable table;
  uint16_t id;
};

}  // namespace sw::testing
