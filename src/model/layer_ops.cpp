// SPDX-License-Identifier: MIT
#include "model/layer_ops.h"

#include <cmath>

#include "arch/rope.h"

namespace sw {
namespace {

Linear linear(const PlacedModel& placed, Role role, int layer = -1) {
  return {.weight = placed.weight(role, layer)};
}

}  // namespace

EmbedDesc embed_desc(const PlacedModel& placed) { return {.table = placed.weight(Role::TokenEmbd)}; }

AttentionDesc attention_desc(const PlacedModel& placed, int layer) {
  const HParams& h = placed.model().hparams();
  const bool fused = !placed.weight(Role::AttnQkv, layer).empty();
  return {
      .n_head = h.attention.n_head,
      .n_head_kv = h.attention.n_head_kv,
      .head_dim = h.attention.head_dim,
      .value_dim = h.attention.value_dim,
      .n_rot = h.rope.n_rot,
      .rope_neighbours = placed.model().arch().rope_pairs == RopePairs::Neighbours,
      .rms_eps = h.rms_eps,
      .norm = placed.vector(Role::AttnNorm, layer),
      .qkv = linear(placed, fused ? Role::AttnQkv : Role::AttnQ, layer),
      .qkv_bias = placed.vector(fused ? Role::AttnQkvBias : Role::AttnQBias, layer),
      .k = linear(placed, Role::AttnK, layer),
      .v = linear(placed, Role::AttnV, layer),
      .k_bias = placed.vector(Role::AttnKBias, layer),
      .v_bias = placed.vector(Role::AttnVBias, layer),
      .q_norm = placed.vector(Role::AttnQNorm, layer),
      .k_norm = placed.vector(Role::AttnKNorm, layer),
      .norm_all_heads = placed.model().weight(Role::AttnQNorm, layer).shape.n_cols() > h.attention.head_dim,
      .window = placed.model().block_kind(layer).cache == CacheKind::Window ? h.attention.window : 0,
      .sinks = placed.vector(Role::AttnSinks, layer),
      .out = linear(placed, Role::AttnOut, layer),
      .out_bias = placed.vector(Role::AttnOutBias, layer)};
}

MlaDesc mla_desc(const PlacedModel& placed, int layer) {
  const HParams& h = placed.model().hparams();
  const double scale =
      static_cast<double>(yarn_score_scale(h.rope)) / std::sqrt(static_cast<double>(h.mla.key_dim));
  return {.n_head = h.attention.n_head,
          .nope_dim = h.mla.nope_dim,
          .n_rot = h.rope.n_rot,
          .value_dim = h.mla.value_dim,
          .kv_rank = h.mla.kv_rank,
          .rope_neighbours = placed.model().arch().rope_pairs == RopePairs::Neighbours,
          .rms_eps = h.rms_eps,
          .latent_eps = h.mla.latent_eps,
          .q_scale = h.mla.q_scale,
          .latent_scale = h.mla.latent_scale,
          .softmax_scale = static_cast<float>(scale),
          .norm = placed.vector(Role::AttnNorm, layer),
          .q_a = linear(placed, Role::AttnQA, layer),
          .q_a_norm = placed.vector(Role::AttnQANorm, layer),
          .q = linear(placed, h.mla.q_rank > 0 ? Role::AttnQB : Role::AttnQ, layer),
          .kv_a = linear(placed, Role::AttnKvA, layer),
          .kv_a_norm = placed.vector(Role::AttnKvANorm, layer),
          .k_b = linear(placed, Role::AttnKB, layer),
          .v_b = linear(placed, Role::AttnVB, layer),
          .out = linear(placed, Role::AttnOut, layer)};
}

RouteDesc route_desc(const PlacedModel& placed, int layer, int moe_layer, const PolicyTable& policies) {
  const RouterSpec& spec = placed.model().moe_layers()[static_cast<size_t>(moe_layer)].router;
  const float* bias = spec.select_bias ? placed.vector(Role::RouterBias, layer) : nullptr;
  return {.norm = placed.vector(Role::FfnNorm, layer),
          .rms_eps = placed.model().hparams().rms_eps,
          .router = linear(placed, Role::Router, layer),
          .logit_bias = placed.vector(Role::RouterLogitBias, layer),
          .bias = bias ? std::span(bias, static_cast<size_t>(spec.n_logits())) : std::span<const float>{},
          .spec = spec,
          .moe_layer = moe_layer,
          .policies = &policies};
}

ExpertsDesc experts_desc(const ExpertsPart& part, bool identity, int n_slot, float swiglu_limit) {
  return {.gate = {.weight = part.gate},
          .up = {.weight = part.up},
          .down = {.weight = part.down},
          .gate_bias = part.gate_bias,
          .up_bias = part.up_bias,
          .down_bias = part.down_bias,
          .swiglu_limit = swiglu_limit,
          .n_slot = n_slot,
          .local = part.local,
          .identity = identity};
}

std::optional<FfnDesc> shared_desc(const PlacedModel& placed, int layer) {
  if (placed.weight(Role::SharedGate, layer).empty()) return std::nullopt;
  return FfnDesc{.gate = linear(placed, Role::SharedGate, layer),
                 .up = linear(placed, Role::SharedUp, layer),
                 .down = linear(placed, Role::SharedDown, layer)};
}

FfnDesc dense_desc(const PlacedModel& placed, int layer, bool normed) {
  return {.norm = normed ? nullptr : placed.vector(Role::FfnNorm, layer),
          .rms_eps = placed.model().hparams().rms_eps,
          .gate = linear(placed, Role::FfnGate, layer),
          .up = linear(placed, Role::FfnUp, layer),
          .down = linear(placed, Role::FfnDown, layer)};
}

HeadDesc head_desc(const PlacedModel& placed) {
  return {.norm = placed.vector(Role::OutputNorm),
          .rms_eps = placed.model().hparams().rms_eps,
          .output = linear(placed, Role::Output)};
}

}  // namespace sw
