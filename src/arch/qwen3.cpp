// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// Qwen3, dense: QK-norm of each head.
/// Source: transformers, models/qwen3/modeling_qwen3.py.
namespace sw {
namespace {

constexpr auto kKeys = common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys,
                                    common::kFullRotaryKey, common::kRopeScalingKeys);
constexpr auto kTensors =
    common::join(common::kModelTensors, common::kAttentionTensors, common::kHeadNormTensors,
                 common::kFfnNormTensor, common::kDenseTensors);
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}, {"use_sliding_window", "false"}};

}  // namespace

constinit const ArchSpec kQwen3{.name = "qwen3",
                                .hf_classes = {"Qwen3ForCausalLM"},
                                .keys = kKeys,
                                .tensors = kTensors,
                                .kinds = common::kDenseOnly,
                                .granted = kGranted};

}  // namespace sw
