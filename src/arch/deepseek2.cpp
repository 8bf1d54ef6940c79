// SPDX-License-Identifier: MIT
#include "arch/mla.h"

/// DeepSeek-V2 and -V3 (DeepseekV2, DeepseekV3; Kimi-K2 has the latter's shape): latent attention, dense
/// first layers, shared experts. V2: softmax router, plain or with groups scored by their best expert; V3:
/// sigmoid with a selection bias and groups scored by their two best. Source: transformers,
/// models/deepseek_v2/modeling_deepseek_v2.py, models/deepseek_v3/modeling_deepseek_v3.py.
namespace sw {
namespace {

constexpr NamedValue kScores[] = {{"softmax", 1}, {"sigmoid", 2}};
constexpr NamedValue kSelections[] = {{"greedy", 1}, {"group_limited_greedy", 0}, {"noaux_tc", 0}};

/// The next-token layers of a checkpoint are not taken over; files of others may have them.
constexpr auto kLayerKeys = std::to_array<Key>({
    {at<&HParams::n_layer>, "", "num_hidden_layers",
     [](const HParams& h) { return double(h.n_block) - h.n_layer_nextn; }},
    {.field = at<&HParams::n_layer_nextn>,
     .gguf = "nextn_predict_layers",
     .fallback = 0,
     .written = Written::IfUnusual},
    {at<&HParams::n_block>, "block_count", "",
     [](const HParams& h) { return double(h.n_layer) + h.n_layer_nextn; }},
});

constexpr auto kMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::groups_idle>, "", "topk_method", 0, kSelections},
    {at<&HParams::moe, &Moe::n_expert_shared>, "expert_shared_count", "n_shared_experts", 0},
    {.field = at<&HParams::moe, &Moe::weights_norm>,
     .gguf = "expert_weights_norm",
     .hf = "norm_topk_prob",
     .fallback = 0,
     .written = Written::IfUnusual},
    // Older files of V2 do not say it, nor do configs that transformers wrote: only V3 normalises.
    {at<&HParams::moe, &Moe::gating_func>, "expert_gating_func", "scoring_func",
     [](const HParams& h) { return h.moe.weights_norm ? 2 : 1; }, kScores},
    {.field = at<&HParams::moe, &Moe::group_score>,
     .gguf = "expert_group_score",
     .fallback = [](const HParams& h) { return h.moe.gating_func == 2 ? 1 : 2; },
     .written = Written::IfUnusual},
});
constexpr auto kKeys = common::join(
    kLayerKeys, common::kWidthKeys, common::kNormKey, common::kVocabKey, mla::kAttentionKeys, mla::kHeadKeys,
    mla::kYarnKeys, common::kRopeScalingKeys, common::kGroupedMoeKeys, kMoeKeys, common::kSharedWidthKey);

// clang-format off
constexpr auto kOwnTensors = std::to_array<TensorSpec>({
    {Role::RouterBias, "blk.{l}.exp_probs_b.bias", "model.layers.{l}.mlp.gate.e_score_correction_bias", {Dim::Expert}, Transform::None, kOptional},
    {Role::SharedGate, "blk.{l}.ffn_gate_shexp.weight", "model.layers.{l}.mlp.shared_experts.gate_proj.weight", {Dim::SharedFf, Dim::Embd}, Transform::None, kIfSized},
    {Role::SharedUp, "blk.{l}.ffn_up_shexp.weight", "model.layers.{l}.mlp.shared_experts.up_proj.weight", {Dim::SharedFf, Dim::Embd}, Transform::None, kIfSized},
    {Role::SharedDown, "blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.mlp.shared_experts.down_proj.weight", {Dim::Embd, Dim::SharedFf}, Transform::None, kIfSized},
});
// clang-format on
constexpr auto kTensors =
    common::join(common::kModelTensors, common::kAttentionNormTensor, mla::kTensors, common::kFfnNormTensor,
                 common::kDenseTensors, common::kExpertTensors, kOwnTensors);
constexpr Granted kGranted[] = {
    {"hidden_act", "\"silu\""}, {"attention_bias", "false"}, {"moe_layer_freq", "1"}};
constexpr Dropped kDropped[] = {{"model.layers.{nextn}.", "next-token-prediction layers"}};

}  // namespace

constinit const ArchSpec kDeepseek2{.name = "deepseek2",
                                    .hf_classes = {"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"},
                                    .keys = kKeys,
                                    .tensors = kTensors,
                                    .kinds = mla::kDenseAndMoe,
                                    .kind_of = common::dense_or_moe,
                                    .rope_pairs = RopePairs::Neighbours,
                                    .router = {.select_bias = true, .renorm_eps = 1e-20f},
                                    .granted = kGranted,
                                    .dropped = kDropped};

}  // namespace sw
