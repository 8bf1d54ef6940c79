// SPDX-License-Identifier: MIT
#pragma once
#include <span>

#include "model/model.h"
#include "router/stats.h"
#include "server/generation.h"
#include "server/json.h"
#include "tokenizer/tokenizer.h"

namespace sw::server {

/// What a policy comes to in this model: each setting with its value, whoever set it.
///   {"experts_prefill": k | [[first, last, k], ...], "experts_decode": .., "grouped", "threshold"?, "mask"?}
/// {} for a model without experts. Throws sw::Error where the model cannot do it.
Json resolved_policy(const RoutingPolicy& policy, const Model& model, int experts_max);

/// [{"token", "text", "layers": [{"layer", "experts", "weights"}]}]
Json routing_json(std::span<const TokenChoice> tokens, const Tokenizer& tokenizer);

/// One object per layer with a router: names as in the files of `switchyard routing --out`.
Json layers_json(const RoutingStats& stats);

/// What each layer's router has: counts of experts and groups.
Json routers_json(const Model& model);

}  // namespace sw::server
