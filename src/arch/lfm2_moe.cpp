// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// LFM2-MoE (Lfm2Moe): most layers mix tokens by a short convolution, some by attention; QK-norm of each
/// head, dense first layers, sigmoid router with a selection bias. The embedding is also the output matrix.
/// Source: transformers, models/lfm2_moe/modeling_lfm2_moe.py.
namespace sw {
namespace {

constexpr Field kHeadsKv = at<&HParams::attention, &Attention::n_head_kv>;

constexpr auto kOwnKeys = std::to_array<Key>({
    {at<&HParams::rms_eps>, "attention.layer_norm_rms_epsilon", "norm_eps"},
    {at<&HParams::attention, &Attention::n_head>, "attention.head_count", "num_attention_heads"},
    // A file has it in the list of layers alone.
    {kHeadsKv, "", "num_key_value_heads", [](const HParams& h) { return h.attention.n_head_kv; }},
    common::kHeadDimKey,
    common::kValueDimKey,
    {at<&HParams::rope, &RopeParams::freq_base>, "rope.freq_base", "rope_theta"},
    {at<&HParams::short_conv, &ShortConv::n_tap>, "shortconv.l_cache", "conv_L_cache"},
    {at<&HParams::moe, &Moe::n_layer_dense_lead>, "leading_dense_block_count", "num_dense_layers"},
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok"},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length", "moe_intermediate_size"},
    {at<&HParams::moe, &Moe::gating_func>, "expert_gating_func", "", 2},
    {.field = at<&HParams::moe, &Moe::weights_norm>,
     .gguf = "expert_weights_norm",
     .hf = "norm_topk_prob",
     .fallback = 1,
     .written = Written::IfUnusual},
    {.field = at<&HParams::moe, &Moe::weights_scale>,
     .gguf = "expert_weights_scale",
     .hf = "routed_scaling_factor",
     .fallback = 1,
     .written = Written::IfUnusual},
});
constexpr auto kKeys = common::join(common::kLayerKeys, common::kWidthKeys, common::kVocabKey, kOwnKeys,
                                    common::kFullRotaryKey, common::kRopeScalingKeys);

/// A file lists the key/value heads of each layer, 0 for a convolution.
constexpr NamedValue kLayerTypes[] = {{"conv", 0}, {"full_attention", 1}};
constexpr ListKey kLists[] = {{.field = [](HParams& h) -> std::vector<int>& { return h.attention.layers; },
                               .gguf = "attention.head_count_kv",
                               .hf = "layer_types",
                               .names = kLayerTypes,
                               .one = kHeadsKv}};

constexpr Dim kConvRows{[](const HParams& h) { return 3 * int64_t{h.n_embd}; }};
constexpr Dim kTaps{[](const HParams& h) { return int64_t{h.short_conv.n_tap}; }};

// clang-format off
constexpr auto kOwnTensors = std::to_array<TensorSpec>({
    {Role::TokenEmbd, "token_embd.weight", "model.embed_tokens.weight", {Dim::Vocab, Dim::Embd}},
    {Role::OutputNorm, "token_embd_norm.weight", "model.embedding_norm.weight", {Dim::Embd}},
    {Role::Output, "output.weight", "lm_head.weight", {Dim::Vocab, Dim::Embd}, Transform::None, kOptional},

    {Role::AttnNorm, "blk.{l}.attn_norm.weight", "model.layers.{l}.operator_norm.weight", {Dim::Embd}},
    {Role::ConvIn, "blk.{l}.shortconv.in_proj.weight", "model.layers.{l}.conv.in_proj.weight", {kConvRows, Dim::Embd}},
    {Role::ConvInBias, "blk.{l}.shortconv.in_proj.bias", "model.layers.{l}.conv.in_proj.bias", {kConvRows}, Transform::None, kOptional},
    {Role::ConvTaps, "blk.{l}.shortconv.conv.weight", "model.layers.{l}.conv.conv.weight", {Dim::Embd, kTaps}, Transform::OneRowEach},
    {Role::ConvBias, "blk.{l}.shortconv.conv.bias", "model.layers.{l}.conv.conv.bias", {Dim::Embd}, Transform::None, kOptional},
    {Role::ConvOut, "blk.{l}.shortconv.out_proj.weight", "model.layers.{l}.conv.out_proj.weight", {Dim::Embd, Dim::Embd}},
    {Role::ConvOutBias, "blk.{l}.shortconv.out_proj.bias", "model.layers.{l}.conv.out_proj.bias", {Dim::Embd}, Transform::None, kOptional},
    {Role::AttnQ, "blk.{l}.attn_q.weight", "model.layers.{l}.self_attn.q_proj.weight", {Dim::QRows, Dim::Embd}},
    {Role::AttnK, "blk.{l}.attn_k.weight", "model.layers.{l}.self_attn.k_proj.weight", {Dim::KRows, Dim::Embd}},
    {Role::AttnV, "blk.{l}.attn_v.weight", "model.layers.{l}.self_attn.v_proj.weight", {Dim::VRows, Dim::Embd}},
    {Role::AttnQNorm, "blk.{l}.attn_q_norm.weight", "model.layers.{l}.self_attn.q_layernorm.weight", {Dim::Head}},
    {Role::AttnKNorm, "blk.{l}.attn_k_norm.weight", "model.layers.{l}.self_attn.k_layernorm.weight", {Dim::Head}},
    {Role::AttnOut, "blk.{l}.attn_output.weight", "model.layers.{l}.self_attn.out_proj.weight", {Dim::Embd, Dim::ValueRows}},

    {Role::FfnNorm, "blk.{l}.ffn_norm.weight", "model.layers.{l}.ffn_norm.weight", {Dim::Embd}},
    {Role::FfnGate, "blk.{l}.ffn_gate.weight", "model.layers.{l}.feed_forward.w1.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnUp, "blk.{l}.ffn_up.weight", "model.layers.{l}.feed_forward.w3.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnDown, "blk.{l}.ffn_down.weight", "model.layers.{l}.feed_forward.w2.weight", {Dim::Embd, Dim::Ff}},
    {Role::Router, "blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.feed_forward.gate.weight", {Dim::Expert, Dim::Embd}},
    {Role::RouterBias, "blk.{l}.exp_probs_b.bias", "model.layers.{l}.feed_forward.expert_bias", {Dim::Expert}, Transform::None, kOptional},
    {Role::ExpertGate, "blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.feed_forward.experts.{e}.w1.weight", {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertUp, "blk.{l}.ffn_up_exps.weight", "model.layers.{l}.feed_forward.experts.{e}.w3.weight", {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertDown, "blk.{l}.ffn_down_exps.weight", "model.layers.{l}.feed_forward.experts.{e}.w2.weight", {Dim::Expert, Dim::Embd, Dim::ExpertFf}, Transform::Stack},
});
// clang-format on
constexpr auto kTensors = common::join(kOwnTensors, common::kRopeTensors);

constexpr Step kConvDenseSteps[] = {Step::ShortConv, Step::Ffn},
               kConvMoeSteps[] = {Step::ShortConv, Step::Moe};
int64_t state_floats(const HParams& h) { return int64_t{h.short_conv.n_tap - 1} * h.n_embd; }
constexpr LayerKind kKinds[] = {{"conv, dense", kConvDenseSteps, CacheKind::State, state_floats},
                                {"conv, moe", kConvMoeSteps, CacheKind::State, state_floats},
                                common::kDenseKind,
                                common::kMoeKind};
int kind_of(const HParams& h, int layer) {
  const std::vector<int>& attends = h.attention.layers;
  const bool attention = attends.empty() || attends[static_cast<size_t>(layer)] != 0;
  return (attention ? 2 : 0) + common::dense_or_moe(h, layer);
}

constexpr Granted kGranted[] = {{"use_pos_enc", "true"}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "num_key_value_heads": 8, "max_position_embeddings": 128000, "norm_eps": 1e-5, "rope_theta":
  1000000, "conv_L_cache": 3, "num_dense_layers": 2, "num_experts": 32, "num_experts_per_tok": 4,
  "moe_intermediate_size": 1792, "norm_topk_prob": true, "routed_scaling_factor": 1})";

}  // namespace

constinit const ArchSpec kLfm2Moe{
    .name = "lfm2moe",
    .hf_classes = {{{"Lfm2MoeForCausalLM", kDefaults}}},
    .keys = kKeys,
    .lists = kLists,
    .tensors = kTensors,
    .kinds = kKinds,
    .kind_of = kind_of,
    .router = {.score = Score::Sigmoid, .select_bias = true, .renorm_eps = 1e-6f},
    .granted = kGranted};

}  // namespace sw
