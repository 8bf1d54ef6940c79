// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "router/policy_table.h"
#include "router/spec.h"
#include "tensor/view.h"

namespace sw {

/// The experts of each token: all that kernels see of routing. Borrowed; k_max is at least the k of every
/// policy in the batch.
struct Routing {
  TensorView<int32_t> ids = {};      ///< [n_tokens, k_max]; >= n_expert: identity expert, -1: unused, last
  TensorView<float> weights = {};    ///< [n_tokens, k_max]; 0 where unused
  std::span<int32_t> n_active = {};  ///< [n_tokens] slots used, identity experts counted

  int64_t n_tokens() const { return ids.n_rows(); }
  /// Those of the first `n` tokens.
  Routing first(int64_t n) const {
    return {ids.rows(0, n), weights.rows(0, n), n_active.first(static_cast<size_t>(n))};
  }
};

/// Room for route()'s intermediate values; prepared once, used by one thread at a time.
struct RouteScratch {
  struct Slot {
    int32_t id;
    float weight;
  };

  /// For routers of up to `n_logits` experts (identity experts counted) in up to `n_group` groups.
  RouteScratch(int n_logits, int n_group);
  explicit RouteScratch(const RouterSpec& spec) : RouteScratch(spec.n_logits(), spec.n_group) {}

  std::vector<float> scores;        ///< of each expert, unbiased
  std::vector<float> selection;     ///< scores with bias; -inf: not selectable
  std::vector<float> group_scores;  ///< -inf: no selectable member
  std::vector<int32_t> order;       ///< experts or groups, being sorted
  std::vector<Slot> slots;          ///< the row in the making
};

/// Picks the experts of each token: score, select (bias, groups, top-k), weigh.
/// policies, policy_id  rows of resolved policies; one id per token
/// moe_layer  the layer's row of the table: 0 for the model's first MoE layer
/// logits  [n_tokens, n_expert + n_zero] f32, before any score function
/// bias    [n_expert + n_zero] or empty: used to select only; weights come from unbiased scores
/// out     ids [n_tokens, k_max] i32 (>= n_expert: zero expert, -1: unused), weights [n_tokens, k_max] f32,
///         n_active [n_tokens]; rows by falling weight, then rising id
/// Ties go to the lower id. A NaN logit (or bias) masks its expert, +inf counts as the largest float; with
/// softmax a row whose logits are all -inf (or NaN) selects nothing, as there is no distribution.
/// The bits of every result are fixed: exp_exact, sums from left to right (softmax by id, renormalisation by
/// falling selection score), no contraction.
/// Cost: one read of logits, O(n log k) comparisons per token, no allocation. Shapes were checked when bound.
/// Source: Ling-V2 modeling_bailing_moe_v2.py, BailingMoeV2Gate.forward (groups are scored with the bias on).
void route(const RouterSpec& spec, const PolicyRows& policies, int moe_layer,
           std::span<const uint16_t> policy_id, TensorView<const float> logits, std::span<const float> bias,
           RouteScratch& scratch, Routing& out);

}  // namespace sw
