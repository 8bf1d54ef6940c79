// SPDX-License-Identifier: MIT
#include "server/moe_json.h"

#include <algorithm>

#include "router/policy_json.h"
#include "router/resolve.h"
#include "router/stats_json.h"

namespace sw::server {
namespace {

/// k where all layers have the same, else [[first, last, k], ...].
Json counts_json(const ResolvedRows& resolved, std::span<const MoeLayer> layers) {
  Json ranges = Json::array();
  for (size_t i = 0; i < layers.size(); ++i) {
    const int k = resolved.rows[i].k, layer = layers[i].layer;
    if (ranges.empty() || ranges.back()[2] != k) {
      ranges.push_back({layer, layer, k});
    } else {
      ranges.back()[1] = layer;
    }
  }
  return ranges.size() == 1 ? ranges[0][2] : ranges;
}

}  // namespace

Json resolved_policy(const RoutingPolicy& policy, const Model& model, int experts_max) {
  const std::span<const MoeLayer> layers = model.moe_layers();
  Json json = Json::object();
  if (layers.empty()) {
    check_policy(policy, layers, model.hparams().n_layer);
    return json;
  }
  const auto resolve = [&](Phase phase) {
    return resolve_rows(policy, phase, layers, model.hparams().n_layer, experts_max);
  };
  const ResolvedRows prefill = resolve(Phase::Prefill), decode = resolve(Phase::Decode);
  json["experts_prefill"] = counts_json(prefill, layers);
  json["experts_decode"] = counts_json(decode, layers);
  json["grouped"] = std::ranges::any_of(decode.rows, [](const LayerPolicy& row) { return row.grouped(); });
  if (policy.threshold) json["threshold"] = {policy.threshold->min_k, in_short(policy.threshold->share)};
  if (!policy.masks.empty()) json["mask"] = policy_to_json(policy)["mask"];
  return json;
}

Json routing_json(std::span<const TokenChoice> tokens, const Tokenizer& tokenizer) {
  Json all = Json::array();
  for (const TokenChoice& token : tokens) {
    Json layers = Json::array();
    for (const TokenRouting& r : token.routing)
      layers.push_back({{"layer", r.layer}, {"experts", r.experts}, {"weights", in_short(r.weights)}});
    all.push_back({{"token", token.id},
                   {"text", std::string(tokenizer.piece(token.id))},
                   {"layers", std::move(layers)}});
  }
  return all;
}

Json layers_json(const RoutingStats& stats) {
  Json all = Json::array();
  for (const LayerStats& l : stats.layers()) {
    Json layer = stats_to_json(l);
    layer["imbalance"] = l.imbalance();
    all.push_back(std::move(layer));
  }
  return all;
}

Json routers_json(const Model& model) {
  Json all = Json::array();
  for (const MoeLayer& l : model.moe_layers()) {
    all.push_back({{"layer", l.layer},
                   {"n_expert", l.router.n_expert},
                   {"n_zero", l.router.n_expert_zero},
                   {"n_group", l.router.n_group},
                   {"n_group_used", l.router.n_group_used},
                   {"n_expert_used", l.router.n_expert_used}});
  }
  return all;
}

}  // namespace sw::server
