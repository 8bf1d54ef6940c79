// SPDX-License-Identifier: MIT
#include "api/wishes.h"

#include <nlohmann/json.hpp>

#include "api/edge.h"
#include "router/policy_json.h"

namespace sw::api {
namespace {

std::vector<ExpertCount> to_engine(const std::vector<switchyard::RoutingPolicy::ExpertCount>& counts) {
  std::vector<ExpertCount> out;
  for (const auto& c : counts) out.push_back({c.first, c.last, c.k});
  return out;
}

std::vector<switchyard::RoutingPolicy::ExpertCount> to_public(const std::vector<ExpertCount>& counts) {
  std::vector<switchyard::RoutingPolicy::ExpertCount> out;
  for (const ExpertCount& c : counts) out.push_back({c.first, c.last, c.k});
  return out;
}

switchyard::RoutingPolicy to_public(const RoutingPolicy& policy) {
  switchyard::RoutingPolicy out{.experts_prefill = to_public(policy.experts_prefill),
                                .experts_decode = to_public(policy.experts_decode),
                                .grouped = policy.grouped};
  if (policy.threshold) out.threshold = {policy.threshold->min_k, policy.threshold->share};
  for (const ExpertMask& m : policy.masks) out.masks.push_back({m.layer, m.first, m.last});
  return out;
}

}  // namespace

RoutingPolicy to_engine(const switchyard::RoutingPolicy& policy) {
  RoutingPolicy out{.experts_prefill = to_engine(policy.experts_prefill),
                    .experts_decode = to_engine(policy.experts_decode),
                    .grouped = policy.grouped};
  if (policy.threshold) out.threshold = {policy.threshold->min_k, policy.threshold->share};
  for (const auto& m : policy.masks) out.masks.push_back({m.layer, m.first, m.last});
  return out;
}

SamplerParams to_engine(const switchyard::Sampler& sampler) {
  return {.temperature = sampler.temperature,
          .top_k = sampler.top_k,
          .top_p = sampler.top_p,
          .min_p = sampler.min_p,
          .penalty_last_n = sampler.penalty_last_n,
          .repeat_penalty = sampler.repeat_penalty,
          .presence_penalty = sampler.presence_penalty,
          .frequency_penalty = sampler.frequency_penalty,
          .seed = sampler.seed};
}

}  // namespace sw::api

namespace switchyard {

RoutingPolicy RoutingPolicy::with_experts(int k) {
  return {.experts_prefill = {{.k = k}}, .experts_decode = {{.k = k}}};
}

RoutingPolicy RoutingPolicy::from_json(std::string_view json) {
  return sw::api::edge([&] {
    const auto parsed = nlohmann::json::parse(json, nullptr, false);
    if (parsed.is_discarded()) throw sw::Error({.what = "the routing policy is no JSON"});
    return sw::api::to_public(sw::policy_from_json(parsed));
  });
}

}  // namespace switchyard
