// SPDX-License-Identifier: MIT
#pragma once
#include "arch/common.h"

/// The hyperparameters of Qwen3-MoE, which the text model of Qwen3-VL-MoE shares.
namespace sw::qwen3_moe {

inline constexpr auto kMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_experts|num_local_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok"},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length", "moe_intermediate_size"},
    {.field = at<&HParams::moe, &Moe::moe_step>,
     .gguf = "interleave_moe_layer_step",
     .hf = "decoder_sparse_step",
     .fallback = 1,
     .written = Written::IfUnusual},
    {.field = at<&HParams::moe, &Moe::weights_norm>,
     .gguf = "expert_weights_norm",
     .hf = "norm_topk_prob",
     .fallback = 1,
     .written = Written::IfUnusual},
});
inline constexpr auto kKeys =
    common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys, common::kFullRotaryKey,
                 common::kRopeScalingKeys, kMoeKeys);

inline constexpr ListKey kDenseLayers{[](HParams& h) -> std::vector<int>& { return h.moe.dense_layers; },
                                      "dense_layers", "mlp_only_layers"};
inline constexpr auto kGranted = std::to_array<Granted>(
    {{"hidden_act", "\"silu\""}, {"shared_expert_intermediate_size", "0"}, {"qkv_bias", "false"}});

}  // namespace sw::qwen3_moe
