// SPDX-License-Identifier: MIT
#include "arch/qwen3_moe.h"

/// The text model of Qwen3-VL-MoE: Qwen3-MoE with the experts' matrices fused and transposed. Its rotary
/// positions of three kinds are the ordinary ones in plain text, and its vision tower is left out.
/// Source: transformers, models/qwen3_vl_moe/modeling_qwen3_vl_moe.py.
namespace sw {
namespace {

constexpr auto kVisionKeys = std::to_array<Key>({
    {.field = at<&HParams::n_deepstack>,
     .gguf = "n_deepstack_layers",
     .hf = "vision_config.deepstack_visual_indexes",
     .fallback = 0,
     .written = Written::IfUnusual,
     .hf_counts = true},
});
constexpr auto kKeys = common::join(qwen3_moe::kKeys, kVisionKeys);
constexpr ListKey kLists[] = {qwen3_moe::kDenseLayers,
                              {.field = [](HParams& h) -> std::vector<int>& { return h.rope.sections; },
                               .gguf = "rope.dimension_sections",
                               .hf = "rope_scaling.mrope_section",
                               .length = 4}};

// clang-format off
constexpr auto kOwnTensors = std::to_array<TensorSpec>({
    {Role::Router, "blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.mlp.gate.weight", {Dim::Expert, Dim::Embd}},
    {Role::ExpertGate, "blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.mlp.experts.gate_up_proj",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::FirstHalfTransposed},
    {Role::ExpertUp, "blk.{l}.ffn_up_exps.weight", "model.layers.{l}.mlp.experts.gate_up_proj",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::SecondHalfTransposed},
    {Role::ExpertDown, "blk.{l}.ffn_down_exps.weight", "model.layers.{l}.mlp.experts.down_proj",
     {Dim::Expert, Dim::Embd, Dim::ExpertFf}, Transform::Transposed},
});
// clang-format on
constexpr auto kTensors = common::join(
    common::kModelTensors, common::kAttentionTensors, common::kAttentionBiasTensors, common::kOutBiasTensor,
    common::kHeadNormTensors, common::kFfnNormTensor, common::kDenseTensors, kOwnTensors);
constexpr auto kGranted =
    common::join(qwen3_moe::kGranted, std::to_array<Granted>({{"use_sliding_window", "false"}}));
constexpr Dropped kDropped[] = {{"model.visual.", "the vision tower"}};

/// What the class has where a config does not say it.
constexpr std::string_view kDefaults = R"({
  "num_key_value_heads": 16, "head_dim": 128, "max_position_embeddings": 128000, "rms_norm_eps":
  1e-6, "rope_theta": 500000, "num_experts": 60, "num_experts_per_tok": 4,
  "moe_intermediate_size": 1408, "decoder_sparse_step": 1, "norm_topk_prob": true})";

}  // namespace

constinit const ArchSpec kQwen3VlMoe{.name = "qwen3vlmoe",
                                     .hf_classes = {{{"Qwen3VLMoeForConditionalGeneration", kDefaults}}},
                                     .hf_root = "model.language_model.",
                                     .keys = kKeys,
                                     .lists = kLists,
                                     .tensors = kTensors,
                                     .kinds = common::kDenseAndMoe,
                                     .kind_of = common::dense_or_moe,
                                     .router = {.score = Score::Softmax},
                                     .granted = kGranted,
                                     .dropped = kDropped};

}  // namespace sw
