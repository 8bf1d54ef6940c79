// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// OLMoE: the norms of queries and keys run over all heads; softmax router, weights not normalised.
/// Source: transformers, models/olmoe/modeling_olmoe.py.
namespace sw {
namespace {

constexpr auto kClipKey = std::to_array<Key>({
    {.field = at<&HParams::attention, &Attention::clip>,
     .gguf = "attention.clamp_kqv",
     .hf = "clip_qkv",
     .fallback = 0,
     .written = Written::IfUnusual},
});
constexpr auto kMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_experts|num_local_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok"},
    {.field = at<&HParams::moe, &Moe::n_ff_expert>,
     .gguf = "expert_feed_forward_length",
     .fallback = [](const HParams& h) { return h.n_ff; },
     .written = Written::IfUnusual},
    {.field = at<&HParams::moe, &Moe::weights_norm>,
     .gguf = "expert_weights_norm",
     .hf = "norm_topk_prob",
     .fallback = 0,
     .written = Written::IfUnusual},
});
constexpr auto kKeys = common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys,
                                    common::kFullRotaryKey, common::kRopeScalingKeys, kClipKey, kMoeKeys);

// clang-format off
constexpr auto kNormTensors = std::to_array<TensorSpec>({
    {Role::AttnQNorm, "blk.{l}.attn_q_norm.weight", "model.layers.{l}.self_attn.q_norm.weight", {Dim::QRows}},
    {Role::AttnKNorm, "blk.{l}.attn_k_norm.weight", "model.layers.{l}.self_attn.k_norm.weight", {Dim::KRows}},
});
// clang-format on
constexpr auto kTensors =
    common::join(common::kModelTensors, common::kAttentionTensors, common::kAttentionBiasTensors,
                 common::kOutBiasTensor, kNormTensors, common::kFfnNormTensor, common::kExpertTensors);
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000, "num_experts": 64,
  "num_experts_per_tok": 8, "norm_topk_prob": false})";

}  // namespace

constinit const ArchSpec kOlmoe{.name = "olmoe",
                                .hf_classes = {{{"OlmoeForCausalLM", kDefaults}}},
                                .keys = kKeys,
                                .tensors = kTensors,
                                .kinds = common::kMoeOnly,
                                .router = {.score = Score::Softmax},
                                .granted = kGranted};

}  // namespace sw
