// SPDX-License-Identifier: MIT
#include "model/describe.h"

#include <cmath>

#include "arch/rope.h"

namespace sw {

Values Describe::values(Role role, int block) const {
  const float* data = weights.vector(role, block);
  return {data, data ? weights.weight(role, block).shape.n_elements() : 0};
}

Rope Describe::rope() const {
  return {.n_rot = hparams.rope.n_rot, .neighbours = arch.rope_pairs == RopePairs::Neighbours};
}

QkNorm Describe::qk_norm(int block) const {
  const Values q = values(Role::AttnQNorm, block), k = values(Role::AttnKNorm, block);
  if (!q && !k) return {};
  return {
      .over = q.n > hparams.attention.head_dim ? QkNorm::Over::AllHeads : QkNorm::Over::Head, .q = q, .k = k};
}

EmbedDesc Describe::embed() const { return {.table = weights.weight(Role::TokenEmbd, -1)}; }

template <>
AttentionDesc Describe::mixer<AttentionDesc>(int block) const {
  const HParams& h = hparams;
  const bool fused = !weights.weight(Role::AttnQkv, block).empty();
  return {.n_head = h.attention.n_head,
          .n_head_kv = h.attention.n_head_kv,
          .head_dim = h.attention.head_dim,
          .value_dim = h.attention.value_dim,
          .rms_eps = h.rms_eps,
          .norm = values(Role::AttnNorm, block),
          .qkv = linear(fused ? Role::AttnQkv : Role::AttnQ, block),
          .qkv_bias = values(fused ? Role::AttnQkvBias : Role::AttnQBias, block),
          .k = linear(Role::AttnK, block),
          .v = linear(Role::AttnV, block),
          .k_bias = values(Role::AttnKBias, block),
          .v_bias = values(Role::AttnVBias, block),
          .qk_norm = qk_norm(block),
          .clip = h.attention.clip,
          .rope = rope(),
          .mask = {.window = block_kind(arch, h, block).cache == CacheKind::Window ? h.attention.window : 0},
          .sinks = values(Role::AttnSinks, block),
          .out = linear(Role::AttnOut, block),
          .out_bias = values(Role::AttnOutBias, block)};
}

template <>
MlaDesc Describe::mixer<MlaDesc>(int block) const {
  const HParams& h = hparams;
  const double scale =
      static_cast<double>(yarn_score_scale(h.rope)) / std::sqrt(static_cast<double>(h.mla.key_dim));
  return {.n_head = h.attention.n_head,
          .nope_dim = h.mla.nope_dim,
          .value_dim = h.mla.value_dim,
          .kv_rank = h.mla.kv_rank,
          .rope = rope(),
          .rms_eps = h.rms_eps,
          .latent_eps = h.mla.latent_eps,
          .q_scale = h.mla.q_scale,
          .latent_scale = h.mla.latent_scale,
          .softmax_scale = static_cast<float>(scale),
          .norm = values(Role::AttnNorm, block),
          .q_a = linear(Role::AttnQA, block),
          .q_a_norm = values(Role::AttnQANorm, block),
          .q = linear(h.mla.q_rank > 0 ? Role::AttnQB : Role::AttnQ, block),
          .kv_a = linear(Role::AttnKvA, block),
          .kv_a_norm = values(Role::AttnKvANorm, block),
          .k_b = linear(Role::AttnKB, block),
          .v_b = linear(Role::AttnVB, block),
          .out = linear(Role::AttnOut, block)};
}

template <>
ShortConvDesc Describe::mixer<ShortConvDesc>(int block) const {
  return {.norm = values(Role::AttnNorm, block),
          .rms_eps = hparams.rms_eps,
          .in = linear(Role::ConvIn, block),
          .in_bias = values(Role::ConvInBias, block),
          .taps = values(Role::ConvTaps, block),
          .bias = values(Role::ConvBias, block),
          .out = linear(Role::ConvOut, block),
          .out_bias = values(Role::ConvOutBias, block)};
}

RouteDesc Describe::route(int block, const MoeLayer& layer, int moe_layer) const {
  return {.norm = values(Role::FfnNorm, block),
          .rms_eps = hparams.rms_eps,
          .router = linear(Role::Router, block),
          .logit_bias = values(Role::RouterLogitBias, block),
          .bias = layer.router.select_bias ? values(Role::RouterBias, block) : Values{},
          .spec = layer.router,
          .moe_layer = moe_layer};
}

ExpertsDesc Describe::experts(int block, std::span<const int> placed, int device, bool identity, int n_slot,
                              std::deque<std::vector<ExpertMatrix>>& tables) const {
  const auto stack = [&](Role role, Role bias) {
    std::vector<WeightView> here(placed.size());
    for (size_t e = 0; e < placed.size(); ++e) {
      if (placed[e] == device) here[e] = weights.expert(role, block, static_cast<int>(e));
    }
    ExpertStack stack = list_experts(here, tables.emplace_back());
    stack.bias = weights.vector(bias, block);
    return stack;
  };
  return {.gate = stack(Role::ExpertGate, Role::ExpertGateBias),
          .up = stack(Role::ExpertUp, Role::ExpertUpBias),
          .down = stack(Role::ExpertDown, Role::ExpertDownBias),
          .swiglu_limit = hparams.moe.swiglu_limit,
          .n_slot = n_slot,
          .identity = identity};
}

std::optional<FfnDesc> Describe::shared(int block) const {
  if (weights.weight(Role::SharedGate, block).empty()) return std::nullopt;
  return FfnDesc{.gate = linear(Role::SharedGate, block),
                 .up = linear(Role::SharedUp, block),
                 .down = linear(Role::SharedDown, block)};
}

FfnDesc Describe::dense(int block, bool normed) const {
  return {.norm = normed ? Values{} : values(Role::FfnNorm, block),
          .rms_eps = hparams.rms_eps,
          .gate = linear(Role::FfnGate, block),
          .up = linear(Role::FfnUp, block),
          .down = linear(Role::FfnDown, block),
          .gate_bias = values(Role::FfnGateBias, block),
          .up_bias = values(Role::FfnUpBias, block),
          .down_bias = values(Role::FfnDownBias, block)};
}

HeadDesc Describe::head() const {
  const bool tied = weights.weight(Role::Output, -1).empty();
  return {.norm = values(Role::OutputNorm),
          .rms_eps = hparams.rms_eps,
          .output = linear(tied ? Role::TokenEmbd : Role::Output)};
}

}  // namespace sw
