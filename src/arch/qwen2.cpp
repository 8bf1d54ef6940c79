// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// Qwen2 and Qwen2.5, dense: biases of queries, keys and values.
/// Source: transformers, models/qwen2/modeling_qwen2.py.
namespace sw {
namespace {

constexpr auto kKeys = common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys,
                                    common::kFullRotaryKey, common::kRopeScalingKeys);
constexpr auto kTensors =
    common::join(common::kModelTensors, common::kAttentionTensors, common::kAttentionBiasTensors,
                 common::kFfnNormTensor, common::kDenseTensors);
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}, {"use_sliding_window", "false"}};

}  // namespace

constinit const ArchSpec kQwen2{.name = "qwen2",
                                .hf_classes = {"Qwen2ForCausalLM"},
                                .keys = kKeys,
                                .tensors = kTensors,
                                .kinds = common::kDenseOnly,
                                .granted = kGranted};

}  // namespace sw
