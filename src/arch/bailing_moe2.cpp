// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// Ling 2.0 and Ring 2.0 (BailingMoeV2): fused QKV with QK-norm and partial rotary, a dense first layer
/// or more, sigmoid router with selection bias and expert groups, a shared expert, a next-token layer.
/// Source: Ling-V2 modeling_bailing_moe_v2.py and configuration_bailing_moe_v2.py.
namespace sw {
namespace {

constexpr NamedValue kScoreNames[] = {{"softmax", 1}, {"sigmoid", 2}};
constexpr auto kMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::n_layer_dense_lead>, "leading_dense_block_count", "first_k_dense_replace", 0},
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok"},
    {at<&HParams::moe, &Moe::n_expert_group>, "expert_group_count", "n_group", 1},
    {at<&HParams::moe, &Moe::n_expert_group_used>, "expert_group_used_count", "topk_group", 1},
    {at<&HParams::moe, &Moe::gating_func>, "expert_gating_func", "score_function", 2, kScoreNames},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length", "moe_intermediate_size"},
    {at<&HParams::moe, &Moe::n_expert_shared>, "expert_shared_count", "num_shared_experts", 0},
    {at<&HParams::moe, &Moe::n_ff_shared>, "expert_shared_feed_forward_length",
     "moe_shared_expert_intermediate_size",  // Ling-1T's config lacks it
     [](const HParams& h) { return double(h.moe.n_ff_expert) * h.moe.n_expert_shared; }},
    {at<&HParams::moe, &Moe::weights_scale>, "expert_weights_scale", "routed_scaling_factor", 1.0},
    {at<&HParams::moe, &Moe::weights_norm>, "expert_weights_norm", "norm_topk_prob", 1},
});
// Files of this family hold every key but those of a longer context.
constexpr auto kKeys = common::join(
    common::always(common::join(common::kLayerKeys, common::kWidthKeys, common::kVocabKey, common::kNormKey,
                                common::kAttentionKeys, common::kPartialRotaryKeys, kMoeKeys)),
    common::kRopeScalingKeys);

// clang-format off
constexpr auto kModelTensors = std::to_array<TensorSpec>({
    {Role::TokenEmbd, "token_embd.weight", "model.word_embeddings.weight", {Dim::Vocab, Dim::Embd}},
    {Role::OutputNorm, "output_norm.weight", "model.norm.weight", {Dim::Embd}},
    {Role::Output, "output.weight", "lm_head.weight", {Dim::Vocab, Dim::Embd}, Transform::None, kOptional},
});
constexpr auto kAttentionTensors = std::to_array<TensorSpec>({
    {Role::AttnQkv, "blk.{l}.attn_qkv.weight", "model.layers.{l}.attention.query_key_value.weight", {Dim::QkvRows, Dim::Embd}},
    {Role::AttnQkvBias, "blk.{l}.attn_qkv.bias", "model.layers.{l}.attention.query_key_value.bias", {Dim::QkvRows}, Transform::None, kOptional},
    {Role::AttnQNorm, "blk.{l}.attn_q_norm.weight", "model.layers.{l}.attention.query_layernorm.weight", {Dim::Head}, Transform::None, kOptional},
    {Role::AttnKNorm, "blk.{l}.attn_k_norm.weight", "model.layers.{l}.attention.key_layernorm.weight", {Dim::Head}, Transform::None, kOptional},
    {Role::AttnOut, "blk.{l}.attn_output.weight", "model.layers.{l}.attention.dense.weight", {Dim::Embd, Dim::ValueRows}},
});
constexpr auto kRouterBiasTensor = std::to_array<TensorSpec>({
    {Role::RouterBias, "blk.{l}.exp_probs_b.bias", "model.layers.{l}.mlp.gate.expert_bias", {Dim::Expert}, Transform::None, kOptional},
});
constexpr auto kSharedTensors = std::to_array<TensorSpec>({
    {Role::SharedGate, "blk.{l}.ffn_gate_shexp.weight", "model.layers.{l}.mlp.shared_experts.gate_proj.weight", {Dim::SharedFf, Dim::Embd}, Transform::None, kOptional},
    {Role::SharedUp, "blk.{l}.ffn_up_shexp.weight", "model.layers.{l}.mlp.shared_experts.up_proj.weight", {Dim::SharedFf, Dim::Embd}, Transform::None, kOptional},
    {Role::SharedDown, "blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.mlp.shared_experts.down_proj.weight", {Dim::Embd, Dim::SharedFf}, Transform::None, kOptional},
});
constexpr auto kNextnTensors = std::to_array<TensorSpec>({
    {Role::NextnProj, "blk.{l}.nextn.eh_proj.weight", "model.layers.{l}.eh_proj.weight", {Dim::Embd, Dim::TwoEmbd}},
    {Role::NextnEmbdNorm, "blk.{l}.nextn.enorm.weight", "model.layers.{l}.enorm.weight", {Dim::Embd}},
    {Role::NextnHiddenNorm, "blk.{l}.nextn.hnorm.weight", "model.layers.{l}.hnorm.weight", {Dim::Embd}},
    {Role::NextnOutputNorm, "blk.{l}.layer_output_norm.weight", "model.layers.{l}.final_layernorm.weight", {Dim::Embd}},
});
// clang-format on
constexpr auto kTensors =
    common::join(kModelTensors, common::kRopeTensors, common::kAttentionNormTensor, kAttentionTensors,
                 common::kFfnNormTensor, common::kDenseTensors, common::kRouterTensor, kRouterBiasTensor,
                 common::kExpertStacks, kSharedTensors, kNextnTensors);

constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""},
                                {"use_rmsnorm", "true"},
                                {"use_bias", "false"},
                                {"norm_head", "false"},
                                {"norm_softmax", "false"}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "num_key_value_heads": 4, "head_dim": 128, "max_position_embeddings": 32768, "rms_norm_eps":
  1e-6, "rope_theta": 600000, "num_experts": 256, "num_shared_experts": 1, "num_experts_per_tok":
  8, "n_group": 8, "topk_group": 4, "moe_intermediate_size": 512, "first_k_dense_replace": 1,
  "routed_scaling_factor": 1})";

}  // namespace

constinit const ArchSpec kBailingMoe2{.name = "bailingmoe2",
                                      .hf_classes = {{{"BailingMoeV2ForCausalLM", kDefaults}}},
                                      .keys = kKeys,
                                      .tensors = kTensors,
                                      .kinds = common::kDenseAndMoe,
                                      .kind_of = common::dense_or_moe,
                                      .nextn = common::kNextnSteps,
                                      .router = {.score = Score::Sigmoid,
                                                 .select_bias = true,
                                                 .group_score = GroupScore::Top2Sum,
                                                 .renorm_eps = 1e-20f,
                                                 .renorm_min_k = 2},
                                      .granted = kGranted};

}  // namespace sw
