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
constexpr auto kKeys =
    common::join(kLayerKeys, common::kWidthKeys, common::kNormKey, common::kVocabKey, mla::kAttentionKeys,
                 mla::kHeadKeys, mla::kYarnKeys, common::kRopeFactorKeys, common::kYarnRoundKey,
                 common::kGroupedMoeKeys, kMoeKeys, common::kSharedWidthKey);

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
constexpr Granted kGranted[] = {{"hidden_act", "\"silu\""},
                                {"attention_bias", "false"},
                                {"moe_layer_freq", "1"},
                                {"rope_interleave", "true"}};
constexpr Dropped kDropped[] = {{"model.layers.{nextn}.", "next-token-prediction layers"}};

/// What the classes have where a config does not say it.
constexpr std::string_view kV2Defaults = R"({
  "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000, "kv_lora_rank": 512,
  "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
  "n_routed_experts": 64, "n_shared_experts": 2, "first_k_dense_replace": 0,
  "moe_intermediate_size": 1407, "norm_topk_prob": false, "routed_scaling_factor": 1,
  "topk_method": "greedy", "scoring_func": "softmax"})";
constexpr std::string_view kV3Defaults = R"({
  "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000, "kv_lora_rank": 512,
  "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
  "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8,
  "topk_group": 4, "first_k_dense_replace": 3, "moe_intermediate_size": 2048, "norm_topk_prob":
  true, "routed_scaling_factor": 2.5, "topk_method": "noaux_tc", "scoring_func": "sigmoid"})";

}  // namespace

constinit const ArchSpec kDeepseek2{
    .name = "deepseek2",
    .hf_classes = {{{"DeepseekV2ForCausalLM", kV2Defaults}, {"DeepseekV3ForCausalLM", kV3Defaults}}},
    .keys = kKeys,
    .tensors = kTensors,
    .kinds = mla::kDenseAndMoe,
    .kind_of = common::dense_or_moe,
    .rope_pairs = RopePairs::Neighbours,
    .router = {.select_bias = true, .renorm_eps = 1e-20f},
    .granted = kGranted,
    .dropped = kDropped};

}  // namespace sw
