// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "arch/spec.h"

/// What most families of Hugging Face call and count the same way, to be joined with what is a family's own.
namespace sw::common {

/// One declaration after the other.
template <class T, size_t... kSizes>
constexpr auto join(const std::array<T, kSizes>&... lists) {
  std::array<T, (kSizes + ...)> all = {};
  size_t n = 0;
  const auto append = [&](const auto& list) {
    for (const T& item : list) all[n++] = item;
  };
  (append(lists), ...);
  return all;
}

/// The same keys for a family whose files hold all of them.
template <size_t kSize>
constexpr auto always(std::array<Key, kSize> keys) {
  for (Key& key : keys) key.written = Written::Always;
  return keys;
}

// Defaults are computed as doubles: a hostile file must not overflow an int before the range check.
inline constexpr auto kLayerKeys = std::to_array<Key>({
    {at<&HParams::n_layer>, "", "num_hidden_layers",
     [](const HParams& h) { return double(h.n_block) - h.n_layer_nextn; }},
    {.field = at<&HParams::n_layer_nextn>,
     .gguf = "nextn_predict_layers",
     .hf = "num_nextn_predict_layers",
     .fallback = 0,
     .written = Written::IfSaid},
    {at<&HParams::n_block>, "block_count", "",
     [](const HParams& h) { return double(h.n_layer) + h.n_layer_nextn; }},
});
inline constexpr auto kWidthKeys = std::to_array<Key>({
    {at<&HParams::n_ctx_train>, "context_length", "max_position_embeddings"},
    {at<&HParams::n_embd>, "embedding_length", "hidden_size"},
    {at<&HParams::n_ff>, "feed_forward_length", "intermediate_size"},
});
inline constexpr auto kNormKey = std::to_array<Key>({
    {at<&HParams::rms_eps>, "attention.layer_norm_rms_epsilon", "rms_norm_eps"},
});

inline constexpr auto kSizeKeys = join(kLayerKeys, kWidthKeys, kNormKey);

/// The vocabulary's size, in a key of its own or not.
inline constexpr auto kVocabKey = std::to_array<Key>({
    {.field = at<&HParams::n_vocab>,
     .gguf = "vocab_size",
     .hf = "vocab_size",
     .gguf_count = "tokenizer.ggml.tokens"},
});
inline constexpr auto kCountedVocabKey = std::to_array<Key>({
    {.field = at<&HParams::n_vocab>,
     .gguf = "vocab_size",
     .hf = "vocab_size",
     .written = Written::IfUnusual,
     .gguf_count = "tokenizer.ggml.tokens"},
});

inline constexpr Key kHeadDimKey{
    .field = at<&HParams::attention, &Attention::head_dim>,
    .gguf = "attention.key_length",
    .hf = "head_dim",
    .fallback = [](const HParams& h) { return h.attention.n_head ? h.n_embd / h.attention.n_head : 0; },
    .written = Written::IfSaid};
inline constexpr Key kValueDimKey{.field = at<&HParams::attention, &Attention::value_dim>,
                                  .gguf = "attention.value_length",
                                  .hf = "head_dim",
                                  .fallback = [](const HParams& h) { return h.attention.head_dim; },
                                  .written = Written::IfSaid};

inline constexpr auto kAttentionKeys = std::to_array<Key>({
    {at<&HParams::attention, &Attention::n_head>, "attention.head_count", "num_attention_heads"},
    {at<&HParams::attention, &Attention::n_head_kv>, "attention.head_count_kv", "num_key_value_heads",
     [](const HParams& h) { return h.attention.n_head; }},
    kHeadDimKey,
    kValueDimKey,
    {at<&HParams::rope, &RopeParams::freq_base>, "rope.freq_base", "rope_theta", 10000},
});

/// Sliding windows, which a model may lack. Without a list or a step every layer has the window.
inline constexpr auto kWindowKeys = std::to_array<Key>({
    {.field = at<&HParams::attention, &Attention::window>,
     .gguf = "attention.sliding_window",
     .hf = "sliding_window",
     .fallback = 0,
     .written = Written::IfUnusual},
    {.field = at<&HParams::attention, &Attention::full_step>,
     .gguf = "attention.sliding_window_pattern",
     .fallback = 0,
     .written = Written::IfUnusual},
});
/// Qwen's switch, which leaves the size in the config when it is off.
inline constexpr auto kWindowSwitchKey = std::to_array<Key>({
    {at<&HParams::attention, &Attention::uses_window>, "", "use_sliding_window", 1},
});
inline constexpr auto kWindowLeadKey = std::to_array<Key>({
    {at<&HParams::attention, &Attention::n_full_lead>, "", "max_window_layers", 0},
});

inline constexpr NamedValue kWindowTypes[] = {{"full_attention", 0}, {"sliding_attention", 1}};
/// Of a class whose configs list the layers.
inline constexpr ListKey kListedWindows{
    .field = [](HParams& h) -> std::vector<int>& { return h.attention.windowed; },
    .gguf = "attention.sliding_window_pattern",
    .hf = "layer_types",
    .names = kWindowTypes,
    .booleans = true};
/// Of a class that gives every layer the window; a file may list them all the same.
inline constexpr ListKey kWindowsOfFiles{
    .field = kListedWindows.field, .gguf = kListedWindows.gguf, .booleans = true};

/// Routed experts in groups behind dense layers, as DeepSeek and GLM call them.
inline constexpr auto kGroupedMoeKeys = std::to_array<Key>({
    {at<&HParams::moe, &Moe::n_layer_dense_lead>, "leading_dense_block_count", "first_k_dense_replace", 0},
    {at<&HParams::moe, &Moe::n_expert>, "expert_count", "n_routed_experts|num_local_experts|num_experts"},
    {at<&HParams::moe, &Moe::n_expert_used>, "expert_used_count", "num_experts_per_tok"},
    {at<&HParams::moe, &Moe::n_expert_group>, "expert_group_count", "n_group", 1},
    {at<&HParams::moe, &Moe::n_expert_group_used>, "expert_group_used_count", "topk_group", 1},
    {at<&HParams::moe, &Moe::n_ff_expert>, "expert_feed_forward_length", "moe_intermediate_size"},
    {at<&HParams::moe, &Moe::weights_scale>, "expert_weights_scale", "routed_scaling_factor", 1.0},
});

/// Of all shared experts together; after their number.
inline constexpr auto kSharedWidthKey = std::to_array<Key>({
    {.field = at<&HParams::moe, &Moe::n_ff_shared>,
     .gguf = "expert_shared_feed_forward_length",
     .fallback = [](const HParams& h) { return double(h.moe.n_ff_expert) * h.moe.n_expert_shared; },
     .written = Written::IfUnusual},
});

/// Some of the head rotates: a share of it, or so many dimensions (Ling-1T says only these).
inline constexpr auto kPartialRotaryKeys = std::to_array<Key>({
    {at<&HParams::rope, &RopeParams::partial_factor>, "", "partial_rotary_factor", 1.0},
    {at<&HParams::rope, &RopeParams::n_rot>, "rope.dimension_count", "rotary_dim",
     [](const HParams& h) {
       return std::trunc(static_cast<float>(h.attention.head_dim) * h.rope.partial_factor);
     }},
});

/// The whole head rotates.
inline constexpr auto kFullRotaryKey = std::to_array<Key>({
    {.field = at<&HParams::rope, &RopeParams::n_rot>,
     .gguf = "rope.dimension_count",
     .fallback = [](const HParams& h) { return h.attention.head_dim; },
     .written = Written::IfUnusual},
});

inline constexpr NamedValue kRopeScalings[] = {{"default", 0}, {"none", 0},    {"linear", 1},  {"yarn", 2},
                                               {"llama3", 3},  {"dynamic", 4}, {"longrope", 5}};
inline constexpr NamedValue kGgufRopeScalings[] = {{"none", 0}, {"linear", 1}, {"yarn", 2}, {"longrope", 5}};

/// Llama3 scaling has no keys in GGUF: its factors are a tensor (rope_freqs).
inline constexpr auto kRopeFactorKeys = std::to_array<Key>({
    {at<&HParams::rope, &RopeParams::scaling>, "rope.scaling.type",
     "rope_scaling.rope_type|rope_scaling.type",
     // Older files have a factor alone.
     [](const HParams& h) { return h.rope.factor == 1 ? 0 : static_cast<int>(RopeScaling::Linear); },
     kRopeScalings, kGgufRopeScalings, Written::IfUnusual},
    {.field = at<&HParams::rope, &RopeParams::factor>,
     .gguf = "rope.scaling.factor",
     .hf = "rope_scaling.factor",
     .fallback = 1,
     .written = Written::IfUnusual,
     .gguf_older = "rope.scale_linear"},
    {.field = at<&HParams::rope, &RopeParams::n_ctx_orig>,
     .gguf = "rope.scaling.original_context_length",
     .hf = "original_max_position_embeddings|rope_scaling.original_max_position_embeddings",
     .fallback = [](const HParams& h) { return h.n_ctx_train; },
     .written = Written::IfUnusual},
    {.field = at<&HParams::rope, &RopeParams::beta_fast>,
     .gguf = "rope.scaling.yarn_beta_fast",
     .hf = "rope_scaling.beta_fast",
     .fallback = 32,
     .written = Written::IfSaid},
    {.field = at<&HParams::rope, &RopeParams::beta_slow>,
     .gguf = "rope.scaling.yarn_beta_slow",
     .hf = "rope_scaling.beta_slow",
     .fallback = 1,
     .written = Written::IfSaid},
    {at<&HParams::rope, &RopeParams::attention_factor>, "", "rope_scaling.attention_factor", 0},
    {.field = at<&HParams::rope, &RopeParams::attn_factor>,
     .gguf = "rope.scaling.attn_factor",
     .fallback =
         [](const HParams& h) {
           const RopeParams& r = h.rope;
           const double log = r.factor > 1 ? std::log(double(r.factor)) : 0;
           const auto growth = [&](double scale) { return 0.1 * scale * log + 1; };
           if (r.kind() == RopeScaling::LongRope) {
             const double grown = std::sqrt(1 + log / std::log(std::max(double(r.n_ctx_orig), 2.0)));
             return r.attention_factor > 0 ? r.attention_factor : grown;
           }
           const bool has_ratio = r.log_multiplier > 0 || (r.mscale > 0 && r.mscale_all_dim > 0);
           const double grown = r.log_multiplier > 0 ? 1 : growth(1);
           const double ratio = has_ratio ? growth(r.mscale) / growth(r.mscale_all_dim) : grown;
           const double whole = r.attention_factor > 0 ? r.attention_factor : ratio;
           return whole > 0 ? whole / grown : 1;
         },
     .written = Written::IfUnusual},
    {at<&HParams::rope, &RopeParams::low_freq_factor>, "", "rope_scaling.low_freq_factor", 1},
    {at<&HParams::rope, &RopeParams::high_freq_factor>, "", "rope_scaling.high_freq_factor", 4},
});

/// As a config of a family without latent attention says by how much cos and sin grow: see mla::kYarnKeys.
inline constexpr auto kYarnGrowthKeys = std::to_array<Key>({
    {at<&HParams::rope, &RopeParams::mscale_all_dim>, "", "rope_scaling.mscale_all_dim", 0},
    {at<&HParams::rope, &RopeParams::mscale>, "", "rope_scaling.mscale", 0},
});
inline constexpr auto kYarnRoundKey = std::to_array<Key>({
    {.field = at<&HParams::rope, &RopeParams::yarn_round>,
     .gguf = "rope.scaling.yarn_truncate",
     .hf = "rope_scaling.truncate",
     .fallback = 1,
     .written = Written::IfUnusual},
});
inline constexpr auto kRopeScalingKeys = join(kYarnGrowthKeys, kRopeFactorKeys, kYarnRoundKey);

/// 0 where there are no two kinds of factors.
inline constexpr Dim kLongRopePairs{
    [](const HParams& h) { return int64_t{h.rope.kind() == RopeScaling::LongRope ? h.rope.n_rot / 2 : 0}; }};

// clang-format off
inline constexpr auto kRopeTensors = std::to_array<TensorSpec>({
    {Role::RopeFreqs, "rope_freqs.weight", "", {Dim::RotPairs}, Transform::Llama3Factors, kOptional},
    {Role::RopeLong, "rope_factors_long.weight", "", {kLongRopePairs}, Transform::LongFactors, kIfSized},
    {Role::RopeShort, "rope_factors_short.weight", "", {kLongRopePairs}, Transform::ShortFactors, kIfSized},
});
inline constexpr auto kModelTensors = join(std::to_array<TensorSpec>({
    {Role::TokenEmbd, "token_embd.weight", "model.embed_tokens.weight", {Dim::Vocab, Dim::Embd}},
    {Role::OutputNorm, "output_norm.weight", "model.norm.weight", {Dim::Embd}},
    {Role::Output, "output.weight", "lm_head.weight", {Dim::Vocab, Dim::Embd}, Transform::None, kOptional},
}), kRopeTensors);

inline constexpr auto kAttentionNormTensor = std::to_array<TensorSpec>({
    {Role::AttnNorm, "blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight", {Dim::Embd}},
});

inline constexpr auto kAttentionTensors = join(kAttentionNormTensor, std::to_array<TensorSpec>({
    {Role::AttnQ, "blk.{l}.attn_q.weight", "model.layers.{l}.self_attn.q_proj.weight", {Dim::QRows, Dim::Embd}},
    {Role::AttnK, "blk.{l}.attn_k.weight", "model.layers.{l}.self_attn.k_proj.weight", {Dim::KRows, Dim::Embd}},
    {Role::AttnV, "blk.{l}.attn_v.weight", "model.layers.{l}.self_attn.v_proj.weight", {Dim::VRows, Dim::Embd}},
    {Role::AttnOut, "blk.{l}.attn_output.weight", "model.layers.{l}.self_attn.o_proj.weight", {Dim::Embd, Dim::ValueRows}},
}));

/// Where a class has a switch for them; there it is the tensors that say whether it is on.
inline constexpr auto kAttentionBiasTensors = std::to_array<TensorSpec>({
    {Role::AttnQBias, "blk.{l}.attn_q.bias", "model.layers.{l}.self_attn.q_proj.bias", {Dim::QRows}, Transform::None, kOptional},
    {Role::AttnKBias, "blk.{l}.attn_k.bias", "model.layers.{l}.self_attn.k_proj.bias", {Dim::KRows}, Transform::None, kOptional},
    {Role::AttnVBias, "blk.{l}.attn_v.bias", "model.layers.{l}.self_attn.v_proj.bias", {Dim::VRows}, Transform::None, kOptional},
});

inline constexpr auto kOutBiasTensor = std::to_array<TensorSpec>({
    {Role::AttnOutBias, "blk.{l}.attn_output.bias", "model.layers.{l}.self_attn.o_proj.bias", {Dim::Embd}, Transform::None, kOptional},
});

/// A norm of each head of queries and keys.
inline constexpr auto kHeadNormTensors = std::to_array<TensorSpec>({
    {Role::AttnQNorm, "blk.{l}.attn_q_norm.weight", "model.layers.{l}.self_attn.q_norm.weight", {Dim::Head}},
    {Role::AttnKNorm, "blk.{l}.attn_k_norm.weight", "model.layers.{l}.self_attn.k_norm.weight", {Dim::Head}},
});

inline constexpr auto kFfnNormTensor = std::to_array<TensorSpec>({
    {Role::FfnNorm, "blk.{l}.ffn_norm.weight", "model.layers.{l}.post_attention_layernorm.weight", {Dim::Embd}},
});

/// Files of some families name it after where it stands.
inline constexpr auto kPostAttentionNormTensor = std::to_array<TensorSpec>({
    {Role::FfnNorm, "blk.{l}.post_attention_norm.weight", "model.layers.{l}.post_attention_layernorm.weight", {Dim::Embd}},
});

inline constexpr auto kDenseTensors = std::to_array<TensorSpec>({
    {Role::FfnGate, "blk.{l}.ffn_gate.weight", "model.layers.{l}.mlp.gate_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnUp, "blk.{l}.ffn_up.weight", "model.layers.{l}.mlp.up_proj.weight", {Dim::Ff, Dim::Embd}},
    {Role::FfnDown, "blk.{l}.ffn_down.weight", "model.layers.{l}.mlp.down_proj.weight", {Dim::Embd, Dim::Ff}},
});

inline constexpr auto kExpertStacks = std::to_array<TensorSpec>({
    {Role::ExpertGate, "blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.mlp.experts.{e}.gate_proj.weight",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertUp, "blk.{l}.ffn_up_exps.weight", "model.layers.{l}.mlp.experts.{e}.up_proj.weight",
     {Dim::Expert, Dim::ExpertFf, Dim::Embd}, Transform::Stack},
    {Role::ExpertDown, "blk.{l}.ffn_down_exps.weight", "model.layers.{l}.mlp.experts.{e}.down_proj.weight",
     {Dim::Expert, Dim::Embd, Dim::ExpertFf}, Transform::Stack},
});

inline constexpr auto kRouterTensor = std::to_array<TensorSpec>({
    {Role::Router, "blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.mlp.gate.weight", {Dim::Expert, Dim::Embd}},
});
inline constexpr auto kExpertTensors = join(kRouterTensor, kExpertStacks);
// clang-format on

/// Some layers dense, the others with experts.
inline constexpr Step kDenseSteps[] = {Step::Attention, Step::Ffn},
                      kMoeSteps[] = {Step::Attention, Step::Moe};
inline constexpr LayerKind kDenseKind{"dense", kDenseSteps}, kMoeKind{"moe", kMoeSteps};
inline constexpr LayerKind kDenseOnly[] = {kDenseKind}, kMoeOnly[] = {kMoeKind};
inline constexpr LayerKind kDenseAndMoe[] = {kDenseKind, kMoeKind};
/// The rule of {dense, moe}: the first layers are dense, so are those that a list names, and of the others
/// every so-many-th has experts.
constexpr int dense_or_moe(const HParams& h, int layer) {
  const Moe& m = h.moe;
  const bool has_experts = m.n_expert > 0 && layer >= m.n_layer_dense_lead && (layer + 1) % m.moe_step == 0 &&
                           std::ranges::find(m.dense_layers, layer) == m.dense_layers.end();
  return has_experts ? 1 : 0;
}
/// The same kinds of layers with and without a window.
inline constexpr LayerKind kWindowedDenseKind{"dense, windowed", kDenseSteps, CacheKind::Window},
    kWindowedMoeKind{"moe, windowed", kMoeSteps, CacheKind::Window};
inline constexpr LayerKind kDenseOrWindowed[] = {kDenseKind, kWindowedDenseKind};
inline constexpr LayerKind kDenseMoeOrWindowed[] = {kDenseKind, kMoeKind, kWindowedDenseKind,
                                                    kWindowedMoeKind};
constexpr int windowed(const HParams& h, int layer) { return h.attention.has_window(layer) ? 1 : 0; }
constexpr int windowed_dense_or_moe(const HParams& h, int layer) {
  return 2 * windowed(h, layer) + dense_or_moe(h, layer);
}
/// A next-token-prediction layer, which has experts.
inline constexpr Step kNextnSteps[] = {Step::Nextn, Step::Attention, Step::Moe};

}  // namespace sw::common
