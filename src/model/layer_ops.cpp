// SPDX-License-Identifier: MIT
#include "model/layer_ops.h"

namespace sw {
namespace {

Linear linear(const Model& model, Role role, int layer = -1) { return {.weight = model.weight(role, layer)}; }

}  // namespace

EmbedDesc embed_desc(const Model& model) { return {.table = model.weight(Role::TokenEmbd)}; }

AttentionDesc attention_desc(const Model& model, int layer) {
  const HParams& h = model.hparams();
  return {.n_head = h.attention.n_head,
          .n_head_kv = h.attention.n_head_kv,
          .head_dim = h.attention.head_dim,
          .value_dim = h.attention.value_dim,
          .n_rot = h.rope.n_rot,
          .rope_neighbours = model.arch().rope_pairs == RopePairs::Neighbours,
          .rms_eps = h.rms_eps,
          .norm = model.vector(Role::AttnNorm, layer),
          .qkv = linear(model, Role::AttnQkv, layer),
          .qkv_bias = model.vector(Role::AttnQkvBias, layer),
          .q_norm = model.vector(Role::AttnQNorm, layer),
          .k_norm = model.vector(Role::AttnKNorm, layer),
          .out = linear(model, Role::AttnOut, layer)};
}

RouteDesc route_desc(const Model& model, int layer, int moe_layer, const PolicyTable& policies) {
  const RouterSpec& spec = model.moe_layers()[static_cast<size_t>(moe_layer)].router;
  const float* bias = spec.select_bias ? model.vector(Role::RouterBias, layer) : nullptr;
  return {.norm = model.vector(Role::FfnNorm, layer),
          .rms_eps = model.hparams().rms_eps,
          .router = linear(model, Role::Router, layer),
          .bias = bias ? std::span(bias, static_cast<size_t>(spec.n_logits())) : std::span<const float>{},
          .spec = spec,
          .moe_layer = moe_layer,
          .policies = &policies};
}

ExpertsDesc experts_desc(const Model& model, int layer, int n_slot) {
  return {.gate = linear(model, Role::ExpertGate, layer),
          .up = linear(model, Role::ExpertUp, layer),
          .down = linear(model, Role::ExpertDown, layer),
          .n_slot = n_slot};
}

std::optional<FfnDesc> shared_desc(const Model& model, int layer) {
  if (model.weight(Role::SharedGate, layer).empty()) return std::nullopt;
  return FfnDesc{.gate = linear(model, Role::SharedGate, layer),
                 .up = linear(model, Role::SharedUp, layer),
                 .down = linear(model, Role::SharedDown, layer)};
}

FfnDesc dense_desc(const Model& model, int layer) {
  return {.norm = model.vector(Role::FfnNorm, layer),
          .rms_eps = model.hparams().rms_eps,
          .gate = linear(model, Role::FfnGate, layer),
          .up = linear(model, Role::FfnUp, layer),
          .down = linear(model, Role::FfnDown, layer)};
}

HeadDesc head_desc(const Model& model) {
  const Linear output = linear(model, Role::Output);
  return {.norm = model.vector(Role::OutputNorm),
          .rms_eps = model.hparams().rms_eps,
          .output = output.empty() ? linear(model, Role::TokenEmbd) : output};
}

}  // namespace sw
