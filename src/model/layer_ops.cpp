// SPDX-License-Identifier: MIT
#include "model/layer_ops.h"

#include <cmath>

#include "arch/rope.h"

namespace sw {
namespace {

Linear linear(const PlacedModel& placed, Role role, int layer = -1) {
  return {.weight = placed.weight(role, layer)};
}

/// Norms and biases with their length.
Values values(const PlacedModel& placed, Role role, int layer = -1) {
  const float* data = placed.vector(role, layer);
  return {data, data ? placed.model().weight(role, layer).shape.n_elements() : 0};
}

/// Biases of a stack of experts, one per row of its matrices.
Values stacked(const float* data, const WeightView& matrices) {
  return {data, data ? matrices.shape[0] * matrices.shape[1] : 0};
}

Rope rope(const PlacedModel& placed) {
  return {.n_rot = placed.model().hparams().rope.n_rot,
          .neighbours = placed.model().arch().rope_pairs == RopePairs::Neighbours};
}

QkNorm qk_norm(const PlacedModel& placed, int layer) {
  const Values q = values(placed, Role::AttnQNorm, layer), k = values(placed, Role::AttnKNorm, layer);
  if (!q) return {};
  const bool one_head = q.n == placed.model().hparams().attention.head_dim;
  return {.over = one_head ? QkNorm::Over::Head : QkNorm::Over::AllHeads, .q = q, .k = k};
}

}  // namespace

EmbedDesc embed_desc(const PlacedModel& placed) { return {.table = placed.weight(Role::TokenEmbd)}; }

AttentionDesc attention_desc(const PlacedModel& placed, int layer) {
  const HParams& h = placed.model().hparams();
  const bool fused = !placed.weight(Role::AttnQkv, layer).empty();
  return {.n_head = h.attention.n_head,
          .n_head_kv = h.attention.n_head_kv,
          .head_dim = h.attention.head_dim,
          .value_dim = h.attention.value_dim,
          .rms_eps = h.rms_eps,
          .norm = values(placed, Role::AttnNorm, layer),
          .qkv = linear(placed, fused ? Role::AttnQkv : Role::AttnQ, layer),
          .qkv_bias = values(placed, fused ? Role::AttnQkvBias : Role::AttnQBias, layer),
          .k = linear(placed, Role::AttnK, layer),
          .v = linear(placed, Role::AttnV, layer),
          .k_bias = values(placed, Role::AttnKBias, layer),
          .v_bias = values(placed, Role::AttnVBias, layer),
          .qk_norm = qk_norm(placed, layer),
          .rope = rope(placed),
          .mask = {.window = h.window_of(layer)},
          .sinks = values(placed, Role::AttnSinks, layer),
          .out = linear(placed, Role::AttnOut, layer),
          .out_bias = values(placed, Role::AttnOutBias, layer)};
}

MlaDesc mla_desc(const PlacedModel& placed, int layer) {
  const HParams& h = placed.model().hparams();
  const double scale =
      static_cast<double>(yarn_score_scale(h.rope)) / std::sqrt(static_cast<double>(h.mla.key_dim));
  return {.n_head = h.attention.n_head,
          .nope_dim = h.mla.nope_dim,
          .value_dim = h.mla.value_dim,
          .kv_rank = h.mla.kv_rank,
          .rope = rope(placed),
          .rms_eps = h.rms_eps,
          .latent_eps = h.mla.latent_eps,
          .q_scale = h.mla.q_scale,
          .latent_scale = h.mla.latent_scale,
          .softmax_scale = static_cast<float>(scale),
          .norm = values(placed, Role::AttnNorm, layer),
          .q_a = linear(placed, Role::AttnQA, layer),
          .q_a_norm = values(placed, Role::AttnQANorm, layer),
          .q = linear(placed, h.mla.q_rank > 0 ? Role::AttnQB : Role::AttnQ, layer),
          .kv_a = linear(placed, Role::AttnKvA, layer),
          .kv_a_norm = values(placed, Role::AttnKvANorm, layer),
          .k_b = linear(placed, Role::AttnKB, layer),
          .v_b = linear(placed, Role::AttnVB, layer),
          .out = linear(placed, Role::AttnOut, layer)};
}

RouteDesc route_desc(const PlacedModel& placed, int layer, int moe_layer) {
  const RouterSpec& spec = placed.model().moe_layers()[static_cast<size_t>(moe_layer)].router;
  return {.norm = values(placed, Role::FfnNorm, layer),
          .rms_eps = placed.model().hparams().rms_eps,
          .router = linear(placed, Role::Router, layer),
          .logit_bias = values(placed, Role::RouterLogitBias, layer),
          .bias = spec.select_bias ? values(placed, Role::RouterBias, layer) : Values{},
          .spec = spec,
          .moe_layer = moe_layer};
}

ExpertsDesc experts_desc(const ExpertsPart& part, bool identity, int n_slot, float swiglu_limit) {
  return {.gate = {.weight = part.gate},
          .up = {.weight = part.up},
          .down = {.weight = part.down},
          .gate_bias = stacked(part.gate_bias, part.gate),
          .up_bias = stacked(part.up_bias, part.up),
          .down_bias = stacked(part.down_bias, part.down),
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
  return {.norm = normed ? Values{} : values(placed, Role::FfnNorm, layer),
          .rms_eps = placed.model().hparams().rms_eps,
          .gate = linear(placed, Role::FfnGate, layer),
          .up = linear(placed, Role::FfnUp, layer),
          .down = linear(placed, Role::FfnDown, layer)};
}

HeadDesc head_desc(const PlacedModel& placed) {
  return {.norm = values(placed, Role::OutputNorm),
          .rms_eps = placed.model().hparams().rms_eps,
          .output = linear(placed, Role::Output)};
}

}  // namespace sw
