// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "router/policy.h"
#include "router/spec.h"

/// What a policy means to a model. Pure: no table is needed to ask.
namespace sw {

/// What a policy means in one layer: all that a kernel needs to know of it, 16 bytes.
struct LayerPolicy {
  static constexpr uint32_t kGrouped = 1;  ///< only experts of the best groups are selected
  static constexpr uint32_t kMasked = 2;   ///< the mask row has a bit set

  int32_t k = 0;
  int32_t min_k = 0;       ///< the least number that the threshold leaves; k where there is none
  float threshold = 0.0f;  ///< share of the row's largest weight; 0: none
  uint32_t flags = 0;

  constexpr bool grouped() const { return (flags & kGrouped) != 0; }
  constexpr bool masked() const { return (flags & kMasked) != 0; }
  friend bool operator==(const LayerPolicy&, const LayerPolicy&) = default;
};

/// A policy in all layers that have a router, for the tokens of one phase.
struct ResolvedRows {
  std::vector<LayerPolicy> rows = {};  ///< [n_moe_layer]
  std::vector<uint32_t> masks = {};    ///< [n_moe_layer, n_mask_words]; expert e is bit e % 32 of word e / 32
  size_t n_mask_words = 0;

  std::span<const uint32_t> mask(size_t moe_layer) const {
    return std::span(masks).subspan(moe_layer * n_mask_words, n_mask_words);
  }
};

/// Words of a mask that has a bit for each expert of any of the layers.
size_t count_mask_words(std::span<const MoeLayer> layers);

/// What `policy` means for tokens of `phase`. Policies that mean the same give equal rows. Throws sw::Error
/// where the model cannot do it.
/// `layers`       the model's MoE layers, validated, in rising order
/// `n_layer`      of all the model's layers
/// `experts_max`  the largest k that buffers are planned for
ResolvedRows resolve_rows(const RoutingPolicy& policy, Phase phase, std::span<const MoeLayer> layers,
                          int n_layer, int experts_max = std::numeric_limits<int>::max());

/// Throws sw::Error where the model cannot do the policy in both phases.
void check_policy(const RoutingPolicy& policy, std::span<const MoeLayer> layers, int n_layer);

/// The most experts that a policy asks for in any layer and phase, at least the model's own k and at most
/// what a layer has; 0 for a model without experts.
int experts_needed(std::span<const MoeLayer> layers, const RoutingPolicy& policy);

}  // namespace sw
