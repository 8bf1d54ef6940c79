// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// Llama 2 and 3 and, in GGUF a Llama with experts, Mixtral: every rope scaling; GGUF stores queries and keys
/// with rotary pairs as neighbours. Mixtral's router is a softmax whose selected weights are normalised.
/// Source: transformers, models/llama/modeling_llama.py and models/mixtral/modeling_mixtral.py.
namespace sw {
namespace {

constexpr auto kRotaryKey = std::to_array<Key>({
    {at<&HParams::rope, &RopeParams::n_rot>, "rope.dimension_count", "",
     [](const HParams& h) { return h.attention.head_dim; }},
});
constexpr auto kMoeKeys = std::to_array<Key>({
    {.field = at<&HParams::moe, &Moe::n_expert>,
     .gguf = "expert_count",
     .hf = "num_local_experts|num_experts",
     .fallback = 0,
     .written = Written::IfUnusual},
    {.field = at<&HParams::moe, &Moe::n_expert_used>,
     .gguf = "expert_used_count",
     .hf = "num_experts_per_tok",
     .fallback = 0,
     .written = Written::IfUnusual},
    {.field = at<&HParams::moe, &Moe::n_ff_expert>,
     .gguf = "expert_feed_forward_length",
     .fallback = [](const HParams& h) { return h.n_ff; },
     .written = Written::IfUnusual},
    {.field = at<&HParams::moe, &Moe::weights_norm>,
     .gguf = "expert_weights_norm",
     .fallback = 1,
     .written = Written::IfUnusual},
});
constexpr auto kKeys = common::join(common::kSizeKeys, common::kVocabKey, common::kAttentionKeys, kRotaryKey,
                                    common::kRopeScalingKeys, common::kWindowKeys, kMoeKeys);
constexpr ListKey kLists[] = {common::kWindowsOfFiles};

/// A family's attention tensors with its queries and keys in GGUF's order.
constexpr auto attention_tensors() {
  auto tensors =
      common::join(common::kAttentionTensors, common::kAttentionBiasTensors, common::kOutBiasTensor);
  for (TensorSpec& t : tensors) {
    if (t.role == Role::AttnQ || t.role == Role::AttnK || t.role == Role::AttnQBias ||
        t.role == Role::AttnKBias)
      t.transform = Transform::PairsToNeighbours;
  }
  return tensors;
}
// clang-format off
constexpr auto kDenseBiasTensors = std::to_array<TensorSpec>({
    {Role::FfnGateBias, "blk.{l}.ffn_gate.bias", "model.layers.{l}.mlp.gate_proj.bias", {Dim::Ff}, Transform::None, kOptional},
    {Role::FfnUpBias, "blk.{l}.ffn_up.bias", "model.layers.{l}.mlp.up_proj.bias", {Dim::Ff}, Transform::None, kOptional},
    {Role::FfnDownBias, "blk.{l}.ffn_down.bias", "model.layers.{l}.mlp.down_proj.bias", {Dim::Embd}, Transform::None, kOptional},
});
constexpr auto kExpertTensors = std::to_array<TensorSpec>({
    {Role::Router, "blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.block_sparse_moe.gate.weight",
     {Dim::Expert, Dim::Embd}},
    {Role::ExpertGate, "blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertUp, "blk.{l}.ffn_up_exps.weight", "model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertDown, "blk.{l}.ffn_down_exps.weight", "model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight",
     {Dim::Expert, Dim::Embd, Dim::ExpertFf}, Transform::Stack},
});
// clang-format on
constexpr auto kTensors = common::join(common::kModelTensors, attention_tensors(), common::kFfnNormTensor,
                                       common::kDenseTensors, kDenseBiasTensors, kExpertTensors);
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}};
/// Llama's class has no windows.
constexpr Granted kLlamaGranted[] = {{"sliding_window", "null"}};

/// What the classes have where a config does not say it.
constexpr std::string_view kLlamaDefaults = R"({
  "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000})";
constexpr std::string_view kMixtralDefaults = R"({
  "num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta":
  1000000, "num_local_experts": 8, "num_experts_per_tok": 2})";

}  // namespace

constinit const ArchSpec kLlama{.name = "llama",
                                .hf_classes = {{{"LlamaForCausalLM", kLlamaDefaults, kLlamaGranted},
                                                {"MixtralForCausalLM", kMixtralDefaults}}},
                                .keys = kKeys,
                                .lists = kLists,
                                .tensors = kTensors,
                                .kinds = common::kDenseMoeOrWindowed,
                                .kind_of = common::windowed_dense_or_moe,
                                .rope_pairs = RopePairs::Neighbours,
                                .router = {.score = Score::Softmax},
                                .granted = kGranted};

}  // namespace sw
