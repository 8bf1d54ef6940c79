// SPDX-License-Identifier: MIT
#pragma once
#include "unit/kernels/cached_case.h"

namespace sw::testing {

struct MlaShape {
  int n_head = 4, nope_dim = 32, n_rot = 32, value_dim = 32, kv_rank = 64;
  int q_rank = 0;  ///< 0: queries straight from the hidden state
  bool neighbours = false;
};

/// A random layer of multi-head latent attention.
class MlaCase : public CachedCase {
 public:
  MlaCase(const MlaShape& s, Type weights, Type cache, const std::vector<TokenRun>& runs, uint64_t seed)
      : CachedCase(
            {.type = cache, .n_head = 1, .row_dim = s.kv_rank + s.n_rot, .values = false, .n_rot = s.n_rot},
            runs, seed) {
    const int64_t query_dim = s.nope_dim + s.n_rot;
    desc = {.n_head = s.n_head,
            .nope_dim = s.nope_dim,
            .value_dim = s.value_dim,
            .kv_rank = s.kv_rank,
            .rope = {.n_rot = s.n_rot, .neighbours = s.neighbours},
            .rms_eps = 1e-5f,
            .latent_eps = 1e-6f,
            .q_scale = s.q_rank > 0 ? 1.5f : 1.0f,
            .latent_scale = s.q_rank > 0 ? 0.7f : 1.0f,
            .softmax_scale = 1.3f / std::sqrt(static_cast<float>(query_dim)),
            .norm = values(kEmbd),
            .q = linear(weights, {s.n_head * query_dim, s.q_rank > 0 ? s.q_rank : kEmbd}),
            .kv_a = linear(weights, {int64_t{s.kv_rank} + s.n_rot, kEmbd}),
            .kv_a_norm = values(s.kv_rank),
            .k_b = linear(weights, {s.n_head, s.kv_rank, s.nope_dim}),
            .v_b = linear(weights, {s.n_head, s.value_dim, s.kv_rank}),
            .out = linear(weights, {kEmbd, int64_t{s.n_head} * s.value_dim})};
    if (s.q_rank == 0) return;
    desc.q_a = linear(weights, {s.q_rank, kEmbd});
    desc.q_a_norm = values(s.q_rank);
  }

  MlaDesc desc;
};

}  // namespace sw::testing
