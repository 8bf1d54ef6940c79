// SPDX-License-Identifier: MIT
#include "api/options.h"

#include <nlohmann/json.hpp>

#include "api/edge.h"
#include "router/policy_json.h"
#include "runtime/limits.h"

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

PlacementOptions to_placement(const switchyard::Placement& placement) {
  if (placement.n_gpu_layers) limits::kLayers.check("n_gpu_layers", *placement.n_gpu_layers);
  limits::kLayers.check("n_cpu_moe", placement.n_cpu_moe);
  if (placement.main_gpu) limits::kGpu.check("main_gpu", *placement.main_gpu);
  PlacementOptions out{.n_gpu_layers = placement.n_gpu_layers,
                       .cpu_moe = placement.cpu_moe,
                       .n_cpu_moe = placement.n_cpu_moe,
                       .split_layers = placement.split_layers,
                       .tensor_split = placement.tensor_split,
                       .main_gpu = placement.main_gpu};
  for (const std::string& text : placement.overrides) out.overrides.push_back(parse_placement_override(text));
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

RuntimeOptions to_runtime(const switchyard::EngineOptions& options) {
  limits::kContextTokens.check("n_ctx", options.n_ctx);
  limits::kParallel.check("n_parallel", options.n_parallel);
  if (options.n_thread != 0) limits::kThreads.check("n_thread", options.n_thread);
  limits::kUbatchTokens.check("n_ubatch", options.n_ubatch);
  limits::kExpertsMax.check("experts_max", options.experts_max);
  return {.devices = {.devices = options.device, .placement = to_placement(options.placement)},
          .engine = {.forward = {.n_thread = options.n_thread,
                                 .n_ubatch = options.n_ubatch,
                                 .invariant = options.invariant,
                                 .count_routing = options.count_routing},
                     .n_ctx = options.n_ctx,
                     .n_parallel = options.n_parallel,
                     .experts_max = options.experts_max,
                     .default_policy = to_engine(options.default_policy)}};
}

Notes to_notes(const switchyard::OnNote& on_note) {
  if (!on_note) return {};
  return {.on_info = [on_note](std::string_view line) { on_note(line, false); },
          .on_warning = [on_note](std::string_view line) { on_note(line, true); }};
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
