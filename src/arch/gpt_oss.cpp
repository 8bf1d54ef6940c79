// SPDX-License-Identifier: MIT
#include "arch/common.h"

/// gpt-oss: biases everywhere, attention sinks, a sliding window on every other layer, yarn, clamped
/// activations, softmax over the selected experts.
/// Source: transformers, models/gpt_oss/modeling_gpt_oss.py.
namespace sw {
namespace {

constexpr auto kOwnKeys = std::to_array<Key>({
    {at<&HParams::attention, &Attention::window>, "attention.sliding_window", "sliding_window"},
    {.field = at<&HParams::attention, &Attention::full_step>,
     .gguf = "attention.sliding_window_pattern",
     .fallback = 2,
     .written = Written::IfUnusual},
    {.field = at<&HParams::rope, &RopeParams::yarn_round>,
     .gguf = "rope.scaling.yarn_truncate",
     .hf = "rope_scaling.truncate",
     .fallback = 0,
     .written = Written::IfUnusual},
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "num_local_experts|num_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok|experts_per_token"},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length", "intermediate_size"},
    {.field = at<&HParams::moe, &Moe::swiglu_limit>,
     .gguf = "swiglu_limit",
     .hf = "swiglu_limit",
     .fallback = 7,
     .written = Written::IfUnusual},
});
constexpr auto kKeys =
    common::join(common::kSizeKeys, common::kCountedVocabKey, common::kAttentionKeys, common::kFullRotaryKey,
                 common::kYarnGrowthKeys, common::kRopeFactorKeys, kOwnKeys);

// clang-format off
constexpr auto kOwnTensors = std::to_array<TensorSpec>({
    {Role::AttnOutBias, "blk.{l}.attn_output.bias", "model.layers.{l}.self_attn.o_proj.bias", {Dim::Embd}},
    {Role::AttnSinks, "blk.{l}.attn_sinks.weight", "model.layers.{l}.self_attn.sinks", {Dim::Heads}},
    {Role::Router, "blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.mlp.router.weight", {Dim::Expert, Dim::Embd}},
    {Role::RouterLogitBias, "blk.{l}.ffn_gate_inp.bias", "model.layers.{l}.mlp.router.bias", {Dim::Expert}},
    {Role::ExpertGate, "blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.mlp.experts.gate_up_proj",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::EvenTransposed},
    {Role::ExpertGateBias, "blk.{l}.ffn_gate_exps.bias", "model.layers.{l}.mlp.experts.gate_up_proj_bias",
     {Dim::Expert, Dim::ExpertFf}, Transform::Even},
    {Role::ExpertUp, "blk.{l}.ffn_up_exps.weight", "model.layers.{l}.mlp.experts.gate_up_proj",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::OddTransposed},
    {Role::ExpertUpBias, "blk.{l}.ffn_up_exps.bias", "model.layers.{l}.mlp.experts.gate_up_proj_bias",
     {Dim::Expert, Dim::ExpertFf}, Transform::Odd},
    {Role::ExpertDown, "blk.{l}.ffn_down_exps.weight", "model.layers.{l}.mlp.experts.down_proj",
     {Dim::Expert, Dim::Embd, Dim::ExpertFf}, Transform::Transposed},
    {Role::ExpertDownBias, "blk.{l}.ffn_down_exps.bias", "model.layers.{l}.mlp.experts.down_proj_bias",
     {Dim::Expert, Dim::Embd}},
});
// clang-format on
constexpr auto kTensors =
    common::join(common::kModelTensors, common::kAttentionTensors, common::kAttentionBiasTensors,
                 common::kPostAttentionNormTensor, kOwnTensors);
constexpr LayerKind kKinds[] = {{"full", common::kMoeSteps, CacheKind::Pages},
                                {"windowed", common::kMoeSteps, CacheKind::Window}};
constexpr ListKey kLists[] = {common::kListedWindows};
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""}, {"swiglu_alpha", "1.702"}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 131072, "rms_norm_eps":
  1e-5, "rope_theta": 150000, "rope_scaling": {"rope_type": "yarn", "factor": 32, "beta_fast": 32,
  "beta_slow": 1, "truncate": false, "original_max_position_embeddings": 4096},
  "rope_scaling.truncate": true, "sliding_window": 128, "num_local_experts": 128, "num_experts_per_tok": 4, "swiglu_limit": 7})";

}  // namespace

constinit const ArchSpec kGptOss{.name = "gpt-oss",
                                 .hf_classes = {{{"GptOssForCausalLM", kDefaults}}},
                                 .keys = kKeys,
                                 .lists = kLists,
                                 .tensors = kTensors,
                                 .kinds = kKinds,
                                 .kind_of = common::windowed,
                                 .router = {.score = Score::SoftmaxSelected},
                                 .granted = kGranted};

}  // namespace sw
