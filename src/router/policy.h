// SPDX-License-Identifier: MIT
#pragma once
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a user may set about routing. Everything is optional; an empty policy is the model's own.
namespace sw {

/// Which part of a sequence's life a token belongs to. It stays with the token when it is recomputed.
enum class Phase { Prefill, Decode };

/// `k` experts per token in the layers [first, last], counted as the Hugging Face config does.
struct ExpertCount {
  static constexpr int kLastLayer = std::numeric_limits<int>::max();  ///< whatever the model's last is

  int first = 0, last = kLastLayer;
  int k = 0;
  friend bool operator==(const ExpertCount&, const ExpertCount&) = default;
};

/// Of the k selected experts the `min_k` best by selection score stay, and every other whose weight is
/// at least `share` of the row's largest.
struct Threshold {
  int min_k = 1;
  float share = 0.0f;
  friend bool operator==(const Threshold&, const Threshold&) = default;
};

/// The experts [first, last] of a layer must not be selected.
struct ExpertMask {
  int layer = 0;
  int first = 0, last = 0;
  friend bool operator==(const ExpertMask&, const ExpertMask&) = default;
};

struct RoutingPolicy {
  /// The first entry that names a layer counts; layers that none names keep the model's k.
  std::vector<ExpertCount> experts_prefill = {};
  std::vector<ExpertCount> experts_decode = {};
  std::optional<Threshold> threshold = {};
  std::optional<bool> grouped = {};  ///< nothing: where the file has groups
  std::vector<ExpertMask> masks = {};

  const std::vector<ExpertCount>& experts(Phase phase) const {
    return phase == Phase::Prefill ? experts_prefill : experts_decode;
  }
  friend bool operator==(const RoutingPolicy&, const RoutingPolicy&) = default;
};

/// A policy and its name in a table.
struct NamedPolicy {
  std::string name = {};
  RoutingPolicy policy = {};
};

/// "4" (every layer) or "0-3=8,4-19=4,20=2". Throws sw::Error, as do the next two. What only the
/// model can tell (does layer 30 exist?) is checked when the policy is resolved.
std::vector<ExpertCount> parse_expert_counts(std::string_view text);
/// "1,0.2" or "1:0.2": min_k, share in [0, 1].
Threshold parse_threshold(std::string_view text);
/// "3:0-7,12": a layer and its forbidden ids.
std::vector<ExpertMask> parse_expert_mask(std::string_view text);
/// "default,standard,experts=4,standard+experts=2,threshold=1:0.3": variations of `base`, each of parts
/// joined by '+': default, standard, grouped, experts=N, experts-prefill=N, experts-decode=N,
/// threshold=MIN:T.
std::vector<NamedPolicy> parse_policy_list(std::string_view text, const RoutingPolicy& base = {});

}  // namespace sw
