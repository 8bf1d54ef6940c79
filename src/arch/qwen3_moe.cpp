// SPDX-License-Identifier: MIT
#include "arch/qwen3_moe.h"

/// Qwen3-MoE (30B-A3B, 235B-A22B, Coder): QK-norm of each head, softmax router without a shared expert;
/// layers in between may be dense.
/// Source: transformers, models/qwen3_moe/modeling_qwen3_moe.py.
namespace sw {
namespace {

constexpr auto kTensors = common::join(
    common::kModelTensors, common::kAttentionTensors, common::kAttentionBiasTensors, common::kOutBiasTensor,
    common::kHeadNormTensors, common::kFfnNormTensor, common::kDenseTensors, common::kExpertTensors);
constexpr auto kKeys = common::join(qwen3_moe::kKeys, common::kWindowKeys, common::kWindowSwitchKey);
constexpr ListKey kLists[] = {qwen3_moe::kDenseLayers, common::kWindowsOfFiles};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "num_key_value_heads": 4, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta":
  10000, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
  "decoder_sparse_step": 1, "norm_topk_prob": false,
  "use_sliding_window": false, "sliding_window": 4096})";

}  // namespace

constinit const ArchSpec kQwen3Moe{.name = "qwen3moe",
                                   .hf_classes = {{{"Qwen3MoeForCausalLM", kDefaults}}},
                                   .keys = kKeys,
                                   .lists = kLists,
                                   .tensors = kTensors,
                                   .kinds = common::kDenseMoeOrWindowed,
                                   .kind_of = common::windowed_dense_or_moe,
                                   .router = {.score = Score::Softmax},
                                   .granted = qwen3_moe::kGranted};

}  // namespace sw
