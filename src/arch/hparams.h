// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <vector>

namespace sw {

/// A model's hyperparameters, grouped by the block that they shape, never by the model that has them.
struct Attention {
  int n_head = 0, n_head_kv = 0;
  int head_dim = 0;                ///< of queries and keys
  int value_dim = 0;               ///< of values
  float clip = 0;                  ///< not 0: none of them is further from 0
  int window = 0;                  ///< a token sees so many, itself included; 0: all before it
  int full_step = 0;               ///< with a window: every so-many-th layer has none; 0: all have it
  std::vector<int> windowed = {};  ///< of each layer, whether it has the window; empty: full_step says it
  std::vector<int> layers = {};    ///< of each layer, whether it attends; empty: all do
  /// As a config says which layers have the window: none, or all but the first so many.
  bool uses_window = true;
  int n_full_lead = 0;

  constexpr bool has_window(int layer) const {
    if (window == 0) return false;
    if (!windowed.empty()) return windowed[static_cast<size_t>(layer)] != 0;
    return full_step == 0 || (layer + 1) % full_step != 0;
  }
};

/// Multi-head latent attention; kv_rank 0: ordinary attention. See MlaDesc.
struct Mla {
  int kv_rank = 0, q_rank = 0;  ///< of the latents; q_rank 0: queries come from the input at once
  int key_dim = 0;              ///< of a query or key head, the rotated part included
  int nope_dim = 0;             ///< without it
  int value_dim = 0;            ///< of a value head
  float latent_eps = 1e-6f;     ///< of the latents' norms
  float q_scale = 1, latent_scale = 1;
  bool scales_q = false, scales_latent = false;  ///< as a config says it: by sqrt(n_embd / rank)

  bool any() const { return kv_rank > 0; }
};

/// Short convolutions. See ShortConvDesc.
struct ShortConv {
  int n_tap = 0;  ///< a token sees so many, itself included
};

/// How rotary frequencies are changed to serve contexts longer than those of the first training.
/// Dynamic changes nothing up to the trained context; LongRope divides by factors of one kind for contexts up
/// to the original one and of another beyond.
enum class RopeScaling : int { None = 0, Linear = 1, Yarn = 2, Llama3 = 3, Dynamic = 4, LongRope = 5 };

struct RopeParams {
  int n_rot = 0;  ///< leading dims of a head that rotate
  float freq_base = 10000.0f;
  float partial_factor = 1.0f;  ///< n_rot / head_dim where a config says it that way
  int scaling = 0;              ///< a RopeScaling
  float factor = 1.0f;          ///< of the context's growth
  int n_ctx_orig = 0;           ///< tokens of a context before it grew
  /// Yarn: rotations within n_ctx_orig above which a pair stays as it is, and below which it is scaled whole.
  float beta_fast = 32.0f, beta_slow = 1.0f;
  bool yarn_round = true;  ///< the pairs of the two limits are whole numbers
  /// Yarn: cos and sin are multiplied by attn_factor * (0.1 ln(factor) + 1); a config may give the product.
  /// LongRope: by attn_factor alone.
  float attn_factor = 1.0f, attention_factor = 0;
  /// Yarn: not 0: attention scores are multiplied by (log_multiplier ln(factor) + 1)^2 instead, and cos and
  /// sin by attn_factor alone.
  float log_multiplier = 0;
  float mscale = 0;  ///< as a config says what attn_factor and log_multiplier follow from
  float mscale_all_dim = 0;
  /// Llama3: the same limits as beta_slow and beta_fast, under Meta's names.
  float low_freq_factor = 1.0f, high_freq_factor = 4.0f;

  /// LongRope, as a config says them: [n_rot / 2] each. A file has tensors.
  std::vector<float> short_factors = {}, long_factors = {};

  std::vector<int> sections = {};  ///< pairs that turn with time, height and width; all with time in a text

  RopeScaling kind() const { return static_cast<RopeScaling>(scaling); }
};

struct Moe {
  int n_expert = 0, n_expert_zero = 0, n_expert_used = 0;
  int n_expert_shared = 0;
  int n_ff_expert = 0;  ///< hidden width of one expert
  int n_ff_shared = 0;  ///< hidden width of all shared experts together
  int n_expert_group = 1, n_expert_group_used = 1;
  int n_layer_dense_lead = 0;          ///< the first layers have a dense FFN instead of experts
  std::vector<int> dense_layers = {};  ///< others that have none
  int moe_step = 1;     ///< of the others every so-many-th layer, counted from the model's first, has experts
  int gating_func = 0;  ///< GGUF's number: 1 softmax, 2 sigmoid, 3 softmax over the selected
  bool weights_norm = false;
  float weights_scale = 1.0f;
  int group_score = 0;       ///< 0: as the architecture says; 1: a group's two best together; 2: its best
  bool groups_idle = false;  ///< a config that selects without its groups
  float swiglu_limit = 0;    ///< not 0: experts' activations are clamped, see ExpertsDesc
};

struct HParams {
  int n_layer = 0;           ///< decoder layers that a plain forward pass runs
  int n_layer_nextn = 0;     ///< next-token-prediction layers, stored after them
  int n_block = 0;           ///< blocks stored in a GGUF file
  int blocks_per_layer = 1;  ///< a block has one attention, a layer of some families several
  int n_embd = 0, n_vocab = 0, n_ctx_train = 0;
  int n_ff = 0;  ///< hidden width of a dense FFN
  float rms_eps = 1e-6f;
  int n_deepstack = 0;  ///< layers that a vision tower feeds; not used here
  Attention attention = {};
  Mla mla = {};
  ShortConv short_conv = {};
  RopeParams rope = {};
  Moe moe = {};

  /// Blocks that a plain forward pass runs; block b belongs to layer b / blocks_per_layer.
  int n_run_block() const { return n_layer * blocks_per_layer; }
};

}  // namespace sw
