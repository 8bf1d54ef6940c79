// SPDX-License-Identifier: MIT
#include "arch/mla.h"

/// LongCat-Flash: a layer is two attentions and two dense FFNs, beside which one MoE runs from the first
/// FFN's input to the layer's end; latent attention with scaled queries and latents; identity experts. Stored
/// as two blocks a layer: see docs/longcat.md. Source: transformers,
/// models/longcat_flash/modeling_longcat_flash.py.
namespace sw {
namespace {

constexpr auto kLayerKeys = std::to_array<Key>({
    {at<&HParams::n_layer>, "", "num_layers", [](const HParams& h) { return h.n_block / 2.0; }},
    {at<&HParams::n_block>, "block_count", "", [](const HParams& h) { return 2.0 * h.n_layer; }},
    {at<&HParams::n_ctx_train>, "context_length", "max_position_embeddings"},
    {at<&HParams::n_embd>, "embedding_length", "hidden_size"},
    {at<&HParams::n_ff>, "feed_forward_length", "ffn_hidden_size|intermediate_size"},
    {at<&HParams::rms_eps>, "attention.layer_norm_rms_epsilon", "rms_norm_eps"},
});

double scale_of_rank(const HParams& h, int rank) { return rank > 0 ? std::sqrt(double(h.n_embd) / rank) : 1; }

constexpr auto kScaleKeys = std::to_array<Key>({
    {at<&HParams::mla, &Mla::scales_q>, "", "mla_scale_q_lora", 1},
    {at<&HParams::mla, &Mla::q_scale>, "attention.q_lora_scale", "",
     [](const HParams& h) { return h.mla.scales_q ? scale_of_rank(h, h.mla.q_rank) : 1; }},
    {at<&HParams::mla, &Mla::scales_latent>, "", "mla_scale_kv_lora", 1},
    {at<&HParams::mla, &Mla::latent_scale>, "attention.kv_lora_scale", "",
     [](const HParams& h) { return h.mla.scales_latent ? scale_of_rank(h, h.mla.kv_rank) : 1; }},
    {at<&HParams::mla, &Mla::latent_eps>, "attention.lora_norm_rms_epsilon", "", 1e-6},
});

constexpr auto kMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "n_routed_experts|num_local_experts|num_experts"},
    {at<&HParams::moe, &Moe::n_expert_zero>, "expert_zero_count", "zero_expert_num", 0},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "moe_topk|num_experts_per_tok"},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length",
     "expert_ffn_hidden_size|moe_intermediate_size"},
    {at<&HParams::moe, &Moe::weights_scale>, "expert_weights_scale", "routed_scaling_factor", 1.0},
    {at<&HParams::moe, &Moe::gating_func>, "expert_gating_func", "", 1},
});
constexpr auto kKeys =
    common::join(kLayerKeys, common::kVocabKey, mla::kAttentionKeys, mla::kHeadKeys, kScaleKeys,
                 mla::kYarnKeys, common::kRopeFactorKeys, common::kYarnRoundKey, kMoeKeys);

// clang-format off
constexpr auto kOwnTensors = std::to_array<TensorSpec>({
    {Role::AttnNorm, "blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.{part}.weight", {Dim::Embd}},
    {Role::AttnQA, "blk.{l}.attn_q_a.weight", "model.layers.{l}.self_attn.{part}.q_a_proj.weight", {Dim::QRank, Dim::Embd}, Transform::None, kIfSized},
    {Role::AttnQANorm, "blk.{l}.attn_q_a_norm.weight", "model.layers.{l}.self_attn.{part}.q_a_layernorm.weight", {Dim::QRank}, Transform::None, kIfSized},
    {Role::AttnQB, "blk.{l}.attn_q_b.weight", "model.layers.{l}.self_attn.{part}.q_b_proj.weight", {Dim::LatentQRows, Dim::QRank}, Transform::None, kIfSized},
    {Role::AttnQ, "blk.{l}.attn_q.weight", "model.layers.{l}.self_attn.{part}.q_proj.weight", {Dim::PlainQRows, Dim::Embd}, Transform::None, kIfSized},
    {Role::AttnKvA, "blk.{l}.attn_kv_a_mqa.weight", "model.layers.{l}.self_attn.{part}.kv_a_proj_with_mqa.weight", {Dim::LatentRows, Dim::Embd}},
    {Role::AttnKvANorm, "blk.{l}.attn_kv_a_norm.weight", "model.layers.{l}.self_attn.{part}.kv_a_layernorm.weight", {Dim::KvRank}},
    {Role::AttnKB, "blk.{l}.attn_k_b.weight", "model.layers.{l}.self_attn.{part}.kv_b_proj.weight", {Dim::Heads, Dim::KvRank, Dim::NopeHead}, Transform::KeyRowsTransposed},
    {Role::AttnVB, "blk.{l}.attn_v_b.weight", "model.layers.{l}.self_attn.{part}.kv_b_proj.weight", {Dim::Heads, Dim::ValueHead, Dim::KvRank}, Transform::ValueRows},
    {Role::AttnOut, "blk.{l}.attn_output.weight", "model.layers.{l}.self_attn.{part}.o_proj.weight", {Dim::Embd, Dim::HeadValueRows}},

    {Role::FfnNorm, "blk.{l}.ffn_norm.weight", "model.layers.{l}.post_attention_layernorm.{part}.weight", {Dim::Embd}},
    {Role::FfnGate, "blk.{l}.ffn_gate.weight", "model.layers.{l}.mlps.{part}.gate_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnUp, "blk.{l}.ffn_up.weight", "model.layers.{l}.mlps.{part}.up_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnDown, "blk.{l}.ffn_down.weight", "model.layers.{l}.mlps.{part}.down_proj.weight", {Dim::Embd, Dim::Ff}},

    {Role::Router, "blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.mlp.router.classifier.weight", {Dim::RouterRows, Dim::Embd}},
    {Role::RouterBias, "blk.{l}.exp_probs_b.bias", "model.layers.{l}.mlp.router.e_score_correction_bias", {Dim::RouterRows}},
});
// clang-format on
constexpr auto kTensors = common::join(common::kModelTensors, kOwnTensors, common::kExpertStacks);
constexpr Step kSteps[] = {Step::Mla, Step::MoeBegin, Step::Ffn, Step::Mla, Step::Ffn, Step::MoeEnd};
constexpr LayerKind kKinds[] = {{"two blocks", kSteps, CacheKind::Latent}};
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""},
                                {"attention_bias", "false"},
                                {"attention_method", "\"MLA\""},
                                {"zero_expert_type", "\"identity\""},
                                {"norm_topk_prob", "false"}};
constexpr Dropped kDropped[] = {
    {"model.mtp.", "layers that predict further tokens"},
    {"model.layers.{l}.mlp.experts.{zero}.", "of identity experts, which have no weights"},
    {"model.layers.{l}.mlp.router.classifier.bias",
     "the classifier's bias, which the model's Python ignores"}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 10000000, "kv_lora_rank":
  512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
  "n_routed_experts": 512, "zero_expert_num": 256, "moe_topk": 12, "expert_ffn_hidden_size": 2048,
  "routed_scaling_factor": 6, "mla_scale_q_lora": true,
  "mla_scale_kv_lora": true})";

}  // namespace

constinit const ArchSpec kLongcatFlash{.name = "longcat-flash",
                                       .hf_classes = {{{"LongcatFlashForCausalLM", kDefaults}}},
                                       .keys = kKeys,
                                       .tensors = kTensors,
                                       .kinds = kKinds,
                                       .rope_pairs = RopePairs::Neighbours,
                                       .router = {.select_bias = true},
                                       .granted = kGranted,
                                       .dropped = kDropped};

}  // namespace sw
