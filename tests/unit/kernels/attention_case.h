// SPDX-License-Identifier: MIT
#pragma once
#include "unit/kernels/cached_case.h"

namespace sw::testing {

struct AttentionShape {
  int n_head = 4, n_head_kv = 2, head_dim = 64, n_rot = 64;
  bool neighbours = false, bias = false, qk_norm = false;
  bool apart = false;      ///< keys and values have matrices of their own
  bool all_heads = false;  ///< of the norms
  int window = 0;
  bool sinks = false;
};

/// A random attention layer.
class AttentionCase : public CachedCase {
 public:
  AttentionCase(const AttentionShape& s, Type weights, Type cache, const std::vector<TokenRun>& runs,
                uint64_t seed)
      : CachedCase({.type = cache,
                    .n_head = s.n_head_kv,
                    .row_dim = s.head_dim,
                    .n_rot = s.n_rot,
                    .window = s.window},
                   runs, seed) {
    const int64_t n_q = int64_t{s.n_head} * s.head_dim, n_k = int64_t{s.n_head_kv} * s.head_dim;
    const int64_t n_fused = s.apart ? n_q : n_q + 2 * n_k;
    desc = {.n_head = s.n_head,
            .n_head_kv = s.n_head_kv,
            .head_dim = s.head_dim,
            .value_dim = s.head_dim,
            .rms_eps = 1e-6f,
            .norm = values(kEmbd),
            .qkv = linear(weights, {n_fused, kEmbd}),
            .qkv_bias = values_if(s.bias, n_fused),
            .rope = {.n_rot = s.n_rot, .neighbours = s.neighbours},
            .mask = {.window = s.window},
            .sinks = values_if(s.sinks, s.n_head),
            .out = linear(weights, {kEmbd, n_q}),
            .out_bias = values_if(s.bias, kEmbd)};
    if (s.qk_norm) {
      desc.qk_norm = {.over = s.all_heads ? QkNorm::Over::AllHeads : QkNorm::Over::Head,
                      .q = values(s.all_heads ? n_q : s.head_dim),
                      .k = values(s.all_heads ? n_k : s.head_dim)};
    }
    if (!s.apart) return;
    desc.k = linear(weights, {n_k, kEmbd});
    desc.v = linear(Type::F32, {n_k, kEmbd});  // each has a format of its own
    desc.k_bias = values_if(s.bias, n_k);
    desc.v_bias = values_if(s.bias, n_k);
  }

  AttentionDesc desc;
};

}  // namespace sw::testing
