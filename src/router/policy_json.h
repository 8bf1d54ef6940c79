// SPDX-License-Identifier: MIT
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "router/policy.h"

namespace sw {

/// The members that such an object may have.
inline constexpr std::string_view kPolicyMembers[] = {"experts", "experts_prefill", "experts_decode",
                                                      "grouped", "threshold",       "mask"};

/// A routing policy as a request's JSON object "moe" says it:
///   {"experts": 4 | [[first, last, k], ...], "experts_prefill": .., "experts_decode": .., "grouped": true,
///    "threshold": [min, share], "mask": {"layer": [id, ...]}}
/// Every member is optional; those left out keep what `base` says. Throws sw::Error with the member's name on
/// anything else; what only the model can tell is checked when the policy is resolved.
RoutingPolicy policy_from_json(const nlohmann::json& json, const RoutingPolicy& base = {});

/// The same policy as such an object.
nlohmann::json policy_to_json(const RoutingPolicy& policy);

}  // namespace sw
