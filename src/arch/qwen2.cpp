// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// Qwen2 and Qwen2.5, dense: biases of queries, keys and values.
/// Source: transformers, models/qwen2/modeling_qwen2.py.
namespace sw {
namespace {

constexpr auto kKeys = common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys,
                                    common::kFullRotaryKey, common::kRopeScalingKeys, common::kWindowKeys,
                                    common::kWindowSwitchKey, common::kWindowLeadKey);
constexpr ListKey kLists[] = {common::kListedWindows};
constexpr auto kTensors =
    common::join(common::kModelTensors, common::kAttentionTensors, common::kAttentionBiasTensors,
                 common::kFfnNormTensor, common::kDenseTensors);
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "num_key_value_heads": 32, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta":
  10000, "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28})";

}  // namespace

constinit const ArchSpec kQwen2{.name = "qwen2",
                                .hf_classes = {{{"Qwen2ForCausalLM", kDefaults}}},
                                .keys = kKeys,
                                .lists = kLists,
                                .tensors = kTensors,
                                .kinds = common::kDenseOrWindowed,
                                .kind_of = common::windowed,
                                .granted = kGranted};

}  // namespace sw
