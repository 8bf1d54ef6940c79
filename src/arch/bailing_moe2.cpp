// SPDX-License-Identifier: MIT
#include <cmath>

#include "arch/common.h"

/// Ling 2.0 and Ring 2.0 (BailingMoeV2): fused QKV with QK-norm and partial rotary, a dense first layer
/// or more, sigmoid router with selection bias and expert groups, a shared expert.
/// Source: Ling-V2 modeling_bailing_moe_v2.py and configuration_bailing_moe_v2.py.
namespace sw {
namespace {

constexpr NamedValue kScoreNames[] = {{"softmax", 1}, {"sigmoid", 2}};

// Defaults are computed as doubles: a hostile file must not overflow an int before the range check.
constexpr Key kKeys[] = {
    {at<&HParams::n_layer>, "", "num_hidden_layers",
     [](const HParams& h) { return double(h.n_block) - h.n_layer_nextn; }},
    {at<&HParams::n_layer_nextn>, "nextn_predict_layers", "num_nextn_predict_layers", 0},
    {at<&HParams::n_block>, "block_count", "",
     [](const HParams& h) { return double(h.n_layer) + h.n_layer_nextn; }},
    {at<&HParams::n_ctx_train>, "context_length", "max_position_embeddings"},
    {at<&HParams::n_embd>, "embedding_length", "hidden_size"},
    {at<&HParams::n_ff>, "feed_forward_length", "intermediate_size"},
    {at<&HParams::n_vocab>, "vocab_size", "vocab_size"},
    {at<&HParams::rms_eps>, "attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {at<&HParams::attention, &Attention::n_head>, "attention.head_count", "num_attention_heads"},
    {at<&HParams::attention, &Attention::n_head_kv>, "attention.head_count_kv", "num_key_value_heads"},
    {at<&HParams::attention, &Attention::head_dim>, "attention.key_length", "head_dim",
     [](const HParams& h) { return h.attention.n_head ? h.n_embd / h.attention.n_head : 0; }},
    {at<&HParams::attention, &Attention::value_dim>, "attention.value_length", "",
     [](const HParams& h) { return h.attention.head_dim; }},
    {at<&HParams::rope, &RopeParams::freq_base>, "rope.freq_base", "rope_theta"},
    {at<&HParams::rope, &RopeParams::partial_factor>, "", "partial_rotary_factor", 1.0},
    {at<&HParams::rope, &RopeParams::n_rot>, "rope.dimension_count", "",
     [](const HParams& h) {
       return std::trunc(static_cast<float>(h.attention.head_dim) * h.rope.partial_factor);
     }},
    {at<&HParams::moe, &Moe::n_layer_dense_lead>, "leading_dense_block_count", "first_k_dense_replace", 0},
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok"},
    {at<&HParams::moe, &Moe::n_expert_group>, "expert_group_count", "n_group", 1},
    {at<&HParams::moe, &Moe::n_expert_group_used>, "expert_group_used_count", "topk_group", 1},
    {at<&HParams::moe, &Moe::gating_func>, "expert_gating_func", "score_function", 2, kScoreNames},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length", "moe_intermediate_size"},
    {at<&HParams::moe, &Moe::n_expert_shared>, "expert_shared_count", "num_shared_experts", 0},
    {at<&HParams::moe, &Moe::n_ff_shared>, "expert_shared_feed_forward_length",
     "moe_shared_expert_intermediate_size",
     [](const HParams& h) {
       return double(h.moe.n_ff_expert) * h.moe.n_expert_shared;
     }},  // Ling-1T's config lacks it
    {at<&HParams::moe, &Moe::weights_scale>, "expert_weights_scale", "routed_scaling_factor", 1.0},
    {at<&HParams::moe, &Moe::weights_norm>, "expert_weights_norm", "norm_topk_prob", 1},
};

// clang-format off
constexpr TensorSpec kTensors[] = {
    {Role::TokenEmbd, "token_embd.weight", "model.word_embeddings.weight", {Dim::Vocab, Dim::Embd}},
    {Role::OutputNorm, "output_norm.weight", "model.norm.weight", {Dim::Embd}},
    {Role::Output, "output.weight",
     "lm_head.weight", {Dim::Vocab, Dim::Embd}, Transform::None, kOptional},

    {Role::AttnNorm, "blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight", {Dim::Embd}},
    {Role::AttnQkv, "blk.{l}.attn_qkv.weight",
     "model.layers.{l}.attention.query_key_value.weight", {Dim::QkvRows, Dim::Embd}},
    {Role::AttnQkvBias, "blk.{l}.attn_qkv.bias",
     "model.layers.{l}.attention.query_key_value.bias", {Dim::QkvRows}, Transform::None, kOptional},
    {Role::AttnQNorm, "blk.{l}.attn_q_norm.weight",
     "model.layers.{l}.attention.query_layernorm.weight", {Dim::Head}, Transform::None, kOptional},
    {Role::AttnKNorm, "blk.{l}.attn_k_norm.weight",
     "model.layers.{l}.attention.key_layernorm.weight", {Dim::Head}, Transform::None, kOptional},
    {Role::AttnOut, "blk.{l}.attn_output.weight",
     "model.layers.{l}.attention.dense.weight", {Dim::Embd, Dim::ValueRows}},

    {Role::FfnNorm, "blk.{l}.ffn_norm.weight",
     "model.layers.{l}.post_attention_layernorm.weight", {Dim::Embd}},
    {Role::FfnGate, "blk.{l}.ffn_gate.weight",
     "model.layers.{l}.mlp.gate_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnUp, "blk.{l}.ffn_up.weight",
     "model.layers.{l}.mlp.up_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnDown, "blk.{l}.ffn_down.weight",
     "model.layers.{l}.mlp.down_proj.weight", {Dim::Embd, Dim::Ff}},

    {Role::Router, "blk.{l}.ffn_gate_inp.weight",
     "model.layers.{l}.mlp.gate.weight", {Dim::Expert, Dim::Embd}},
    {Role::RouterBias, "blk.{l}.exp_probs_b.bias",
     "model.layers.{l}.mlp.gate.expert_bias", {Dim::Expert}, Transform::None, kOptional},
    {Role::ExpertGate, "blk.{l}.ffn_gate_exps.weight",
     "model.layers.{l}.mlp.experts.{e}.gate_proj.weight", {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertUp, "blk.{l}.ffn_up_exps.weight",
     "model.layers.{l}.mlp.experts.{e}.up_proj.weight", {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertDown, "blk.{l}.ffn_down_exps.weight",
     "model.layers.{l}.mlp.experts.{e}.down_proj.weight", {Dim::Expert, Dim::Embd, Dim::ExpertFf}, Transform::Stack},
    {Role::SharedGate, "blk.{l}.ffn_gate_shexp.weight",
     "model.layers.{l}.mlp.shared_experts.gate_proj.weight", {Dim::SharedFf, Dim::Embd}, Transform::None, kOptional},
    {Role::SharedUp, "blk.{l}.ffn_up_shexp.weight",
     "model.layers.{l}.mlp.shared_experts.up_proj.weight", {Dim::SharedFf, Dim::Embd}, Transform::None, kOptional},
    {Role::SharedDown, "blk.{l}.ffn_down_shexp.weight",
     "model.layers.{l}.mlp.shared_experts.down_proj.weight", {Dim::Embd, Dim::SharedFf}, Transform::None, kOptional},

    {Role::NextnProj, "blk.{l}.nextn.eh_proj.weight",
     "model.layers.{l}.eh_proj.weight", {Dim::Embd, Dim::TwoEmbd}},
    {Role::NextnEmbdNorm, "blk.{l}.nextn.enorm.weight",
     "model.layers.{l}.enorm.weight", {Dim::Embd}},
    {Role::NextnHiddenNorm, "blk.{l}.nextn.hnorm.weight",
     "model.layers.{l}.hnorm.weight", {Dim::Embd}},
    {Role::NextnOutputNorm, "blk.{l}.layer_output_norm.weight",
     "model.layers.{l}.final_layernorm.weight", {Dim::Embd}},
};
// clang-format on

}  // namespace

constinit const ArchSpec kBailingMoe2{.name = "bailingmoe2",
                                      .hf_classes = {"BailingMoeV2ForCausalLM"},
                                      .keys = kKeys,
                                      .tensors = kTensors,
                                      .kinds = common::kDenseAndMoe,
                                      .kind_of = common::dense_or_moe,
                                      .nextn = common::kNextnSteps,
                                      .router = {.score = Score::Sigmoid,
                                                 .select_bias = true,
                                                 .group_score = GroupScore::Top2Sum,
                                                 .renorm_eps = 1e-20f,
                                                 .renorm_min_k = 2}};

}  // namespace sw
