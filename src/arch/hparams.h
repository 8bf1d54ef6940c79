// SPDX-License-Identifier: MIT
#pragma once

namespace sw {

/// A model's figures, grouped by the block that they shape, never by the model that has them.
struct Attention {
  int n_head = 0, n_head_kv = 0;
  int head_dim = 0;   ///< of queries and keys
  int value_dim = 0;  ///< of values
};

struct RopeParams {
  int n_rot = 0;  ///< leading dims of a head that rotate
  float freq_base = 10000.0f;
  float partial_factor = 1.0f;  ///< n_rot / head_dim where a config says it that way
};

struct Moe {
  int n_expert = 0, n_expert_zero = 0, n_expert_used = 0;
  int n_expert_shared = 0;
  int n_ff_expert = 0;  ///< hidden width of one expert
  int n_ff_shared = 0;  ///< hidden width of all shared experts together
  int n_expert_group = 1, n_expert_group_used = 1;
  int n_layer_dense_lead = 0;  ///< the first layers have a dense FFN instead of experts
  int gating_func = 0;         ///< GGUF's number: 1 softmax, 2 sigmoid, 3 softmax over the selected
  bool weights_norm = false;
  float weights_scale = 1.0f;
};

struct HParams {
  int n_layer = 0;        ///< decoder layers that a plain forward pass runs
  int n_layer_nextn = 0;  ///< next-token-prediction layers, stored after them
  int n_block = 0;        ///< layers stored in a GGUF file
  int n_embd = 0, n_vocab = 0, n_ctx_train = 0;
  int n_ff = 0;  ///< hidden width of a dense FFN
  float rms_eps = 1e-6f;
  Attention attention = {};
  RopeParams rope = {};
  Moe moe = {};

  bool is_moe_layer(int layer) const { return moe.n_expert > 0 && layer >= moe.n_layer_dense_lead; }
};

}  // namespace sw
