// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// GLM-4.5 and 4.6 (Glm4Moe): biases of queries, keys and values, QK-norm in the larger models, partial
/// rotary, dense first layers, sigmoid router with selection bias and groups, a next-token layer with an
/// embedding and a head of its own.
/// Source: transformers, models/glm4_moe/modeling_glm4_moe.py.
namespace sw {
namespace {

constexpr auto kMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::gating_func>, "expert_gating_func", "", 2},
    {at<&HParams::moe, &Moe::n_expert_shared>, "expert_shared_count", "n_shared_experts", 1},
    {at<&HParams::moe, &Moe::weights_norm>, "expert_weights_norm", "norm_topk_prob", 1},
});
constexpr auto kKeys = common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys,
                                    common::kPartialRotaryKeys, common::kRopeScalingKeys,
                                    common::kGroupedMoeKeys, kMoeKeys, common::kSharedWidthKey);

// clang-format off
constexpr auto kOwnTensors = std::to_array<TensorSpec>({
    {Role::AttnQNorm, "blk.{l}.attn_q_norm.weight", "model.layers.{l}.self_attn.q_norm.weight", {Dim::Head}, Transform::None, kOptional},
    {Role::AttnKNorm, "blk.{l}.attn_k_norm.weight", "model.layers.{l}.self_attn.k_norm.weight", {Dim::Head}, Transform::None, kOptional},
    {Role::RouterBias, "blk.{l}.exp_probs_b.bias", "model.layers.{l}.mlp.gate.e_score_correction_bias", {Dim::Expert}},
    {Role::SharedGate, "blk.{l}.ffn_gate_shexp.weight", "model.layers.{l}.mlp.shared_experts.gate_proj.weight", {Dim::SharedFf, Dim::Embd}},
    {Role::SharedUp, "blk.{l}.ffn_up_shexp.weight", "model.layers.{l}.mlp.shared_experts.up_proj.weight", {Dim::SharedFf, Dim::Embd}},
    {Role::SharedDown, "blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.mlp.shared_experts.down_proj.weight", {Dim::Embd, Dim::SharedFf}},

    {Role::NextnProj, "blk.{l}.nextn.eh_proj.weight", "model.layers.{l}.eh_proj.weight", {Dim::Embd, Dim::TwoEmbd}},
    {Role::NextnTokenEmbd, "blk.{l}.nextn.embed_tokens.weight", "model.layers.{l}.embed_tokens.weight", {Dim::Vocab, Dim::Embd}, Transform::None, kOptional},
    {Role::NextnEmbdNorm, "blk.{l}.nextn.enorm.weight", "model.layers.{l}.enorm.weight", {Dim::Embd}},
    {Role::NextnHiddenNorm, "blk.{l}.nextn.hnorm.weight", "model.layers.{l}.hnorm.weight", {Dim::Embd}},
    {Role::NextnOutput, "blk.{l}.nextn.shared_head_head.weight", "model.layers.{l}.shared_head.head.weight", {Dim::Vocab, Dim::Embd}, Transform::None, kOptional},
    {Role::NextnOutputNorm, "blk.{l}.nextn.shared_head_norm.weight", "model.layers.{l}.shared_head.norm.weight", {Dim::Embd}},
});
// clang-format on
constexpr auto kTensors = common::join(common::kModelTensors, common::kAttentionTensors,
                                       common::kAttentionBiasTensors, common::kPostAttentionNormTensor,
                                       common::kDenseTensors, common::kExpertTensors, kOwnTensors);
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta":
  10000, "partial_rotary_factor": 0.5, "moe_intermediate_size": 1408, "num_experts_per_tok": 8,
  "n_shared_experts": 1, "n_routed_experts": 128, "routed_scaling_factor": 1, "n_group": 1,
  "topk_group": 1, "first_k_dense_replace": 1, "norm_topk_prob": true, "num_nextn_predict_layers":
  1})";

}  // namespace

constinit const ArchSpec kGlm4Moe{.name = "glm4moe",
                                  .hf_classes = {{{"Glm4MoeForCausalLM", kDefaults}}},
                                  .keys = kKeys,
                                  .tensors = kTensors,
                                  .kinds = common::kDenseAndMoe,
                                  .kind_of = common::dense_or_moe,
                                  .nextn = common::kNextnSteps,
                                  .router = {.score = Score::Sigmoid,
                                             .select_bias = true,
                                             .group_score = GroupScore::Top2Sum,
                                             .renorm_eps = 1e-20f},
                                  .granted = kGranted};

}  // namespace sw
