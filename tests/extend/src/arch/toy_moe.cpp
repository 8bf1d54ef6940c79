// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// A made-up family for the test of this folder: the checkpoint names of Ling 2.0, every layer with
/// experts but the leading ones, QK-norm, no bias, no extra layers, and GGUF keys of its own.
namespace sw {
namespace {

constexpr Key kKeys[] = {
    {at<&HParams::n_layer>, "block_count", "num_hidden_layers"},
    {at<&HParams::n_block>, "", "", [](const HParams& h) { return h.n_layer; }},
    {at<&HParams::n_ctx_train>, "context_length", "max_position_embeddings"},
    {at<&HParams::n_embd>, "embedding_length", "hidden_size"},
    {at<&HParams::n_ff>, "feed_forward_length", "intermediate_size"},
    {at<&HParams::n_vocab>, "vocab_size", "vocab_size"},
    {at<&HParams::rms_eps>, "attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {at<&HParams::attention, &Attention::n_head>, "attention.head_count", "num_attention_heads"},
    {at<&HParams::attention, &Attention::n_head_kv>, "attention.head_count_kv", "num_key_value_heads"},
    {at<&HParams::attention, &Attention::head_dim>, "attention.key_length", "head_dim"},
    {at<&HParams::attention, &Attention::value_dim>, "attention.value_length", "head_dim"},
    {at<&HParams::rope, &RopeParams::freq_base>, "rope.freq_base", "rope_theta"},
    {at<&HParams::rope, &RopeParams::n_rot>, "rope.dimension_count", "",
     [](const HParams& h) { return h.attention.head_dim / 2; }},
    {at<&HParams::moe, &Moe::n_layer_dense_lead>, "leading_dense_block_count", "first_k_dense_replace", 0},
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok"},
    {at<&HParams::moe, &Moe::n_expert_group>, "expert_group_count", "n_group"},
    {at<&HParams::moe, &Moe::n_expert_group_used>, "expert_group_used_count", "topk_group"},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length", "moe_intermediate_size"},
    {at<&HParams::moe, &Moe::n_ff_shared>, "expert_shared_feed_forward_length", "",
     [](const HParams& h) { return h.moe.n_ff_expert; }},
    {at<&HParams::moe, &Moe::weights_scale>, "expert_weights_scale", "routed_scaling_factor"},
    {at<&HParams::moe, &Moe::weights_norm>, "expert_weights_norm", "norm_topk_prob"},
};

// clang-format off
constexpr TensorSpec kTensors[] = {
    {Role::TokenEmbd, "token_embd.weight", "model.word_embeddings.weight", {Dim::Vocab, Dim::Embd}},
    {Role::OutputNorm, "output_norm.weight", "model.norm.weight", {Dim::Embd}},
    {Role::Output, "output.weight", "lm_head.weight", {Dim::Vocab, Dim::Embd}},
    {Role::AttnNorm, "blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight", {Dim::Embd}},
    {Role::AttnQkv, "blk.{l}.attn_qkv.weight", "model.layers.{l}.attention.query_key_value.weight", {Dim::QkvRows, Dim::Embd}},
    {Role::AttnQNorm, "blk.{l}.attn_q_norm.weight", "model.layers.{l}.attention.query_layernorm.weight", {Dim::Head}},
    {Role::AttnKNorm, "blk.{l}.attn_k_norm.weight", "model.layers.{l}.attention.key_layernorm.weight", {Dim::Head}},
    {Role::AttnOut, "blk.{l}.attn_output.weight", "model.layers.{l}.attention.dense.weight", {Dim::Embd, Dim::ValueRows}},
    {Role::FfnNorm, "blk.{l}.ffn_norm.weight", "model.layers.{l}.post_attention_layernorm.weight", {Dim::Embd}},
    {Role::FfnGate, "blk.{l}.ffn_gate.weight", "model.layers.{l}.mlp.gate_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnUp, "blk.{l}.ffn_up.weight", "model.layers.{l}.mlp.up_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnDown, "blk.{l}.ffn_down.weight", "model.layers.{l}.mlp.down_proj.weight", {Dim::Embd, Dim::Ff}},
    {Role::Router, "blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.mlp.gate.weight", {Dim::Expert, Dim::Embd}},
    {Role::RouterBias, "blk.{l}.exp_probs_b.bias", "model.layers.{l}.mlp.gate.expert_bias", {Dim::Expert}},
    {Role::ExpertGate, "blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.mlp.experts.{e}.gate_proj.weight",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertUp, "blk.{l}.ffn_up_exps.weight", "model.layers.{l}.mlp.experts.{e}.up_proj.weight",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertDown, "blk.{l}.ffn_down_exps.weight", "model.layers.{l}.mlp.experts.{e}.down_proj.weight",
     {Dim::Expert, Dim::Embd, Dim::ExpertFf}, Transform::Stack},
    {Role::SharedGate, "blk.{l}.ffn_gate_shexp.weight", "model.layers.{l}.mlp.shared_experts.gate_proj.weight", {Dim::SharedFf, Dim::Embd}},
    {Role::SharedUp, "blk.{l}.ffn_up_shexp.weight", "model.layers.{l}.mlp.shared_experts.up_proj.weight", {Dim::SharedFf, Dim::Embd}},
    {Role::SharedDown, "blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.mlp.shared_experts.down_proj.weight", {Dim::Embd, Dim::SharedFf}},
};
// clang-format on

constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""},
                                {"use_rmsnorm", "true"},
                                {"use_bias", "false"},
                                {"norm_head", "false"},
                                {"norm_softmax", "false"},
                                {"score_function", "\"sigmoid\""},
                                {"partial_rotary_factor", "0.5"},
                                {"num_shared_experts", "1"},
                                {"moe_shared_expert_intermediate_size", "32"}};

}  // namespace

constinit const ArchSpec kToyMoe{.name = "toymoe",
                                 .hf_classes = {{{"ToyMoeForCausalLM"}}},
                                 .keys = kKeys,
                                 .tensors = kTensors,
                                 .kinds = common::kDenseAndMoe,
                                 .kind_of = common::dense_or_moe,
                                 .router = {.score = Score::Sigmoid,
                                            .select_bias = true,
                                            .group_score = GroupScore::Top2Sum,
                                            .renorm_eps = 1e-20f,
                                            .renorm_min_k = 2},
                                 .granted = kGranted};

}  // namespace sw
