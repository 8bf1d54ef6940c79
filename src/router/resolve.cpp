// SPDX-License-Identifier: MIT
#include "router/resolve.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace sw {
namespace {

constexpr int kMaskWordBits = 32;

std::string layer_name(int layer) { return "layer " + std::to_string(layer); }

std::string range_name(const ExpertCount& count) {
  if (count.last == ExpertCount::kLastLayer) return "every layer";
  if (count.first == count.last) return layer_name(count.first);
  return "layers " + std::to_string(count.first) + " to " + std::to_string(count.last);
}

int asked_k(const RoutingPolicy& policy, Phase phase, const MoeLayer& layer) {
  for (const ExpertCount& count : policy.experts(phase)) {
    if (count.first <= layer.layer && layer.layer <= count.last) return count.k;
  }
  return layer.router.n_expert_used;
}

void check_k(int k, bool grouped, const MoeLayer& layer, int experts_max) {
  const RouterSpec& router = layer.router;
  const int most = router.max_k(grouped);
  const std::string got = std::to_string(k) + " experts", at_most = "at most " + std::to_string(most);
  if (k < 1)
    throw Error({.what = "a token needs at least one expert", .where = layer_name(layer.layer), .got = got});
  if (k > most && grouped && router.has_groups()) {
    throw Error({.what = "more experts than the groups of the router hold",
                 .where = layer_name(layer.layer),
                 .expected = at_most + " (" + std::to_string(router.n_group_used) + " groups of " +
                             std::to_string(router.group_size()) + ")",
                 .got = got});
  }
  if (k > most) {
    throw Error({.what = "more experts than the layer has",
                 .where = layer_name(layer.layer),
                 .expected = at_most,
                 .got = got});
  }
  if (k > experts_max) {
    throw Error({.what = "more experts than were planned for",
                 .where = layer_name(layer.layer),
                 .expected = "at most " + std::to_string(experts_max),
                 .got = got,
                 .hint = "start with --experts-max " + std::to_string(k)});
  }
}

/// A threshold may also come from a request, past parse_threshold().
void check_threshold(const Threshold& t) {
  if (t.min_k >= 1 && t.share >= 0.0f && t.share <= 1.0f) return;
  throw Error({.what = "the expert threshold is out of range",
               .expected = "at least 1 expert and a share from 0 to 1",
               .got = std::to_string(t.min_k) + " and " + std::to_string(t.share)});
}

/// Sets the bits of the layer's forbidden experts; returns whether there are any.
bool fill_mask(const RoutingPolicy& policy, const MoeLayer& layer, std::span<uint32_t> mask) {
  const int n_logits = layer.router.n_logits();
  int n_forbidden = 0;
  for (const ExpertMask& m : policy.masks) {
    if (m.layer != layer.layer) continue;
    if (m.first < 0 || m.last < m.first || m.last >= n_logits) {
      throw Error({.what = "the expert mask names an expert that the layer lacks",
                   .where = layer_name(layer.layer),
                   .expected = "ids 0 to " + std::to_string(n_logits - 1),
                   .got = std::to_string(m.first) + " to " + std::to_string(m.last)});
    }
    for (int e = m.first; e <= m.last; ++e) {
      uint32_t& word = mask[static_cast<size_t>(e / kMaskWordBits)];
      const uint32_t bit = 1u << (e % kMaskWordBits);
      n_forbidden += (word & bit) == 0;
      word |= bit;
    }
  }
  if (n_forbidden == n_logits) {
    throw Error({.what = "the expert mask forbids every expert", .where = layer_name(layer.layer)});
  }
  return n_forbidden > 0;
}

void check_layers_named(const RoutingPolicy& policy, Phase phase, std::span<const MoeLayer> layers,
                        int n_layer) {
  const std::string model_layers = n_layer == 0 ? "no layer" : "layers 0 to " + std::to_string(n_layer - 1);
  for (const ExpertCount& count : policy.experts(phase)) {
    if (count.last != ExpertCount::kLastLayer && count.last >= n_layer) {
      throw Error({.what = "the number of experts names a layer that the model lacks",
                   .expected = model_layers,
                   .got = range_name(count)});
    }
    const bool any = std::any_of(layers.begin(), layers.end(), [&](const MoeLayer& l) {
      return count.first <= l.layer && l.layer <= count.last;
    });
    if (!any) {
      throw Error(
          {.what = "a number of experts was given where the model has none", .where = range_name(count)});
    }
  }
  for (const ExpertMask& m : policy.masks) {
    if (m.layer < 0 || m.layer >= n_layer) {
      throw Error({.what = "the expert mask names a layer that the model lacks",
                   .expected = model_layers,
                   .got = layer_name(m.layer)});
    }
    if (std::none_of(layers.begin(), layers.end(), [&](const MoeLayer& l) { return l.layer == m.layer; })) {
      throw Error({.what = "the expert mask names a layer without experts", .where = layer_name(m.layer)});
    }
  }
}

/// What changes nothing leaves no trace, so that equal routing has equal rows.
LayerPolicy resolve_layer(const RoutingPolicy& policy, Phase phase, const MoeLayer& layer, int experts_max,
                          std::span<uint32_t> mask) {
  const RouterSpec& router = layer.router;
  const bool grouped = policy.grouped.value_or(true);
  LayerPolicy row;
  row.k = asked_k(policy, phase, layer);
  check_k(row.k, grouped, layer, experts_max);
  row.min_k = row.k;
  if (policy.threshold && policy.threshold->share > 0.0f && policy.threshold->min_k < row.k) {
    row.min_k = policy.threshold->min_k;
    row.threshold = policy.threshold->share;
  }
  if (grouped && router.has_groups() && router.n_group_used < router.n_group)
    row.flags |= LayerPolicy::kGrouped;
  if (fill_mask(policy, layer, mask)) row.flags |= LayerPolicy::kMasked;
  return row;
}

}  // namespace

size_t count_mask_words(std::span<const MoeLayer> layers) {
  int most_logits = 0;
  for (const MoeLayer& l : layers) most_logits = std::max(most_logits, l.router.n_logits());
  return static_cast<size_t>((most_logits + kMaskWordBits - 1) / kMaskWordBits);
}

ResolvedRows resolve_rows(const RoutingPolicy& policy, Phase phase, std::span<const MoeLayer> layers,
                          int n_layer, int experts_max) {
  check_layers_named(policy, phase, layers, n_layer);
  if (policy.threshold) check_threshold(*policy.threshold);
  ResolvedRows resolved{.n_mask_words = count_mask_words(layers)};
  resolved.masks.resize(layers.size() * resolved.n_mask_words);
  for (const MoeLayer& layer : layers) {
    const std::span mask = std::span(resolved.masks)
                               .subspan(resolved.rows.size() * resolved.n_mask_words, resolved.n_mask_words);
    resolved.rows.push_back(resolve_layer(policy, phase, layer, experts_max, mask));
  }
  return resolved;
}

void check_policy(const RoutingPolicy& policy, std::span<const MoeLayer> layers, int n_layer) {
  for (const Phase phase : {Phase::Prefill, Phase::Decode}) resolve_rows(policy, phase, layers, n_layer);
}

int experts_needed(std::span<const MoeLayer> layers, const RoutingPolicy& policy) {
  if (layers.empty()) return 0;
  int most = 0;
  for (const MoeLayer& layer : layers) most = std::max(most, layer.router.n_expert_used);
  for (const Phase phase : {Phase::Prefill, Phase::Decode}) {
    for (const ExpertCount& count : policy.experts(phase)) most = std::max(most, count.k);
  }
  return std::min(most, layers.front().router.n_logits());
}

}  // namespace sw
