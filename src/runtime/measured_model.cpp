// SPDX-License-Identifier: MIT
#include "runtime/measured_model.h"

#include <algorithm>

namespace sw {
namespace {

PolicyTable table_for(const Model& model, std::span<const RoutingPolicy> policies) {
  int most = experts_needed(model.moe_layers(), {});
  for (const RoutingPolicy& policy : policies)
    most = std::max(most, experts_needed(model.moe_layers(), policy));
  const int capacity = 1 + 2 * static_cast<int>(policies.size());
  return PolicyTable(model.moe_layers(), model.hparams().n_layer, most, capacity);
}

std::vector<uint16_t> resolve_all(PolicyTable& table, std::span<const RoutingPolicy> policies) {
  std::vector<uint16_t> ids;
  for (const RoutingPolicy& policy : policies) {
    for (const Phase phase : {Phase::Prefill, Phase::Decode}) ids.push_back(table.resolve(policy, phase));
  }
  return ids;
}

ForwardOptions pass_options(const MeasureOptions& options, const PlacedModel* placed) {
  ForwardOptions forward = with_threads(options.forward);
  forward.n_ctx = options.n_ctx;
  forward.n_seq = options.n_seq;
  return placed ? on_placed(forward, *placed) : forward;
}

PlanInput plan_input(const Model& model, const MeasureOptions& options, const PolicyTable& policies) {
  const ForwardOptions forward = pass_options(options, nullptr);
  return {.forward = forward,
          .experts_max = policies.experts_max(),
          .policies = PolicyTable::sizes(model.moe_layers(), policies.capacity()),
          .cache = Forward::cache_plan(model, options.n_ctx, options.cache_type, options.n_seq,
                                       std::max(forward.n_ubatch, options.n_ahead))};
}

}  // namespace

MeasuredModel::MeasuredModel(const Model& model, const MeasureOptions& options,
                             std::span<const RoutingPolicy> policies, const Notes& notes)
    : model_(model),
      policies_(table_for(model, policies)),
      ids_(resolve_all(policies_, policies)),
      run_(model, open_devices_of(options.devices, notes), options.devices.placement,
           plan_input(model, options, policies_), notes),
      forward_(model, policies_, pass_options(options, &run_.placed())) {
  if (options.forward.explain) notes.info(explain(forward_.program()));
}

}  // namespace sw
