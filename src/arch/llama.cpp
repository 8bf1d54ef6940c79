// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// Llama 2 and 3: separate queries, keys and values, every rope scaling. GGUF stores queries and keys with
/// rotary pairs as neighbours.
/// Source: transformers, models/llama/modeling_llama.py.
namespace sw {
namespace {

constexpr auto kRotaryKey = std::to_array<Key>({
    {at<&HParams::rope, &RopeParams::n_rot>, "rope.dimension_count", "",
     [](const HParams& h) { return h.attention.head_dim; }},
});
constexpr auto kKeys = common::join(common::kSizeKeys, common::kVocabKey, common::kAttentionKeys, kRotaryKey,
                                    common::kRopeScalingKeys);

/// A family's attention tensors with its queries and keys in GGUF's order.
constexpr auto attention_tensors() {
  auto tensors = common::kAttentionTensors;
  for (TensorSpec& t : tensors) {
    if (t.role == Role::AttnQ || t.role == Role::AttnK) t.transform = Transform::PairsToNeighbours;
  }
  return tensors;
}
constexpr auto kTensors =
    common::join(common::kModelTensors, attention_tensors(), common::kFfnNormTensor, common::kDenseTensors);

constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}};

}  // namespace

constinit const ArchSpec kLlama{.name = "llama",
                                .hf_classes = {"LlamaForCausalLM"},
                                .keys = kKeys,
                                .tensors = kTensors,
                                .layer = common::kLayer,
                                .rope_pairs = RopePairs::Neighbours,
                                .granted = kGranted};

}  // namespace sw
