// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// Qwen3-MoE (30B-A3B, 235B-A22B, Coder): QK-norm of each head, softmax router without a shared expert;
/// layers in between may be dense.
/// Source: transformers, models/qwen3_moe/modeling_qwen3_moe.py.
namespace sw {
namespace {

constexpr auto kMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_experts"},
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
constexpr auto kKeys = common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys,
                                    common::kFullRotaryKey, common::kRopeScalingKeys, kMoeKeys);
constexpr auto kTensors =
    common::join(common::kModelTensors, common::kAttentionTensors, common::kHeadNormTensors,
                 common::kFfnNormTensor, common::kDenseTensors, common::kExpertTensors);
constexpr Granted kGranted[] = {
    {"hidden_act", "\"silu\""}, {"use_sliding_window", "false"}, {"mlp_only_layers", "[]"}};

}  // namespace

constinit const ArchSpec kQwen3Moe{.name = "qwen3moe",
                                   .hf_classes = {"Qwen3MoeForCausalLM"},
                                   .keys = kKeys,
                                   .tensors = kTensors,
                                   .layer = common::kLayer,
                                   .router = {.score = Score::Softmax},
                                   .granted = kGranted};

}  // namespace sw
