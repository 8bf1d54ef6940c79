// SPDX-License-Identifier: MIT
#pragma once
#include "arch/common.h"

/// What families with multi-head latent attention declare alike. A file's key_length and value_length are of
/// what the cache keeps: the latent with the rotated part, and the latent; one head of each.
namespace sw::mla {

inline constexpr auto kAttentionKeys = std::to_array<Key>({
    {at<&HParams::attention, &Attention::n_head>, "attention.head_count", "num_attention_heads"},
    {at<&HParams::attention, &Attention::n_head_kv>, "attention.head_count_kv", "", 1},
    {at<&HParams::rope, &RopeParams::freq_base>, "rope.freq_base", "rope_theta", 10000},
    {at<&HParams::rope, &RopeParams::n_rot>, "rope.dimension_count", "qk_rope_head_dim"},
    {.field = at<&HParams::mla, &Mla::q_rank>,
     .gguf = "attention.q_lora_rank",
     .hf = "q_lora_rank",
     .fallback = 0,
     .written = Written::IfUnusual},
    {at<&HParams::mla, &Mla::kv_rank>, "attention.kv_lora_rank", "kv_lora_rank"},
    {at<&HParams::attention, &Attention::head_dim>, "attention.key_length", "",
     [](const HParams& h) { return double(h.mla.kv_rank) + h.rope.n_rot; }},
    {at<&HParams::attention, &Attention::value_dim>, "attention.value_length", "",
     [](const HParams& h) { return h.mla.kv_rank; }},
});

/// Files from before the keys for single heads have those of heads under the names above.
inline constexpr auto kHeadKeys = std::to_array<Key>({
    {at<&HParams::mla, &Mla::key_dim>, "attention.key_length_mla", "",
     [](const HParams& h) {
       return h.mla.nope_dim > 0 ? double(h.mla.nope_dim) + h.rope.n_rot : h.attention.head_dim;
     }},
    {at<&HParams::mla, &Mla::value_dim>, "attention.value_length_mla", "v_head_dim",
     [](const HParams& h) { return h.attention.value_dim; }},
    {at<&HParams::mla, &Mla::nope_dim>, "", "qk_nope_head_dim",
     [](const HParams& h) { return double(h.mla.key_dim) - h.rope.n_rot; }},
});

/// Yarn as DeepSeek has it: the scores grow, and cos and sin by no more than the difference of the two
/// multipliers.
inline constexpr auto kYarnKeys = std::to_array<Key>({
    {at<&HParams::rope, &RopeParams::mscale_all_dim>, "", "rope_scaling.mscale_all_dim",
     [](const HParams& h) { return 10 * h.rope.log_multiplier; }},
    {at<&HParams::rope, &RopeParams::mscale>, "", "rope_scaling.mscale",
     [](const HParams& h) { return h.rope.mscale_all_dim; }},
    {.field = at<&HParams::rope, &RopeParams::log_multiplier>,
     .gguf = "rope.scaling.yarn_log_multiplier",
     .fallback = [](const HParams& h) { return 0.1 * static_cast<double>(h.rope.mscale_all_dim); },
     .written = Written::IfUnusual},
});

/// Keys and values of all heads in one matrix.
inline constexpr OlderForm kJoined{Role::AttnKvB, "blk.{l}.attn_kv_b.weight"};

// clang-format off
inline constexpr auto kTensors = std::to_array<TensorSpec>({
    {Role::AttnQA, "blk.{l}.attn_q_a.weight", "model.layers.{l}.self_attn.q_a_proj.weight", {Dim::QRank, Dim::Embd}, Transform::None, kIfSized},
    {Role::AttnQANorm, "blk.{l}.attn_q_a_norm.weight", "model.layers.{l}.self_attn.q_a_layernorm.weight", {Dim::QRank}, Transform::None, kIfSized},
    {Role::AttnQB, "blk.{l}.attn_q_b.weight", "model.layers.{l}.self_attn.q_b_proj.weight", {Dim::LatentQRows, Dim::QRank}, Transform::None, kIfSized},
    {Role::AttnQ, "blk.{l}.attn_q.weight", "model.layers.{l}.self_attn.q_proj.weight", {Dim::PlainQRows, Dim::Embd}, Transform::None, kIfSized},
    {Role::AttnKvA, "blk.{l}.attn_kv_a_mqa.weight", "model.layers.{l}.self_attn.kv_a_proj_with_mqa.weight", {Dim::LatentRows, Dim::Embd}},
    {Role::AttnKvANorm, "blk.{l}.attn_kv_a_norm.weight", "model.layers.{l}.self_attn.kv_a_layernorm.weight", {Dim::KvRank}},
    {Role::AttnKB, "blk.{l}.attn_k_b.weight", "model.layers.{l}.self_attn.kv_b_proj.weight", {Dim::Heads, Dim::KvRank, Dim::NopeHead}, Transform::KeyRowsTransposed, Presence::Required, kJoined},
    {Role::AttnVB, "blk.{l}.attn_v_b.weight", "model.layers.{l}.self_attn.kv_b_proj.weight", {Dim::Heads, Dim::ValueHead, Dim::KvRank}, Transform::ValueRows, Presence::Required, kJoined},
    {Role::AttnOut, "blk.{l}.attn_output.weight", "model.layers.{l}.self_attn.o_proj.weight", {Dim::Embd, Dim::HeadValueRows}},
});
// clang-format on

inline constexpr Step kDenseSteps[] = {Step::Mla, Step::Ffn}, kMoeSteps[] = {Step::Mla, Step::Moe};
/// For common::dense_or_moe.
inline constexpr LayerKind kDenseAndMoe[] = {{"dense", kDenseSteps, CacheKind::Latent},
                                             {"moe", kMoeSteps, CacheKind::Latent}};

}  // namespace sw::mla
