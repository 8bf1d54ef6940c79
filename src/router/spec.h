// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sw {

/// How router logits become scores.
enum class Score : uint8_t {
  Softmax,         ///< over all experts
  Sigmoid,         ///< each expert by itself
  SoftmaxSelected  ///< select on logits, then softmax over the selected
};

/// How a group of experts is scored from its members' selection scores.
enum class GroupScore : uint8_t { Top2Sum, Max };

/// The model's routing maths, the same for every token. Values come from the file; an architecture
/// gives the defaults. See docs/routing.md for the order in which they act.
struct RouterSpec {
  Score score = Score::Softmax;
  bool select_bias = false;  ///< a bias takes part in selection, not in weights
  int n_expert = 0;          ///< experts with weights
  int n_expert_zero = 0;     ///< identity experts, ids n_expert .. n_expert + zero - 1
  int n_expert_used = 0;     ///< default k
  int n_group = 1;           ///< group g = ids [g * size, (g + 1) * size); 0 or 1: no groups
  int n_group_used = 1;      ///< the best, of which experts are selected
  GroupScore group_score = GroupScore::Top2Sum;
  bool renorm = false;      ///< divide weights by their sum over the kept slots
  float renorm_eps = 0.0f;  ///< added to that sum
  int renorm_min_k = 1;     ///< the least k (the policy's) at which renorm applies
  float scale = 1.0f;       ///< multiplies every weight

  constexpr int n_logits() const { return n_expert + n_expert_zero; }
  constexpr bool has_groups() const { return n_group > 1; }
  /// Experts of one group; all of them where there are no groups.
  constexpr int group_size() const { return has_groups() ? n_expert / n_group : n_logits(); }
  /// The groups that statistics tell apart; 1 where there are no groups.
  constexpr int n_count_group() const { return n_logits() / group_size(); }
  /// The most experts that a token can have.
  constexpr int max_k(bool grouped) const {
    return grouped && has_groups() ? n_group_used * group_size() : n_logits();
  }
};

/// A layer that has a router.
struct MoeLayer {
  int layer = 0;  ///< as the Hugging Face config counts the model's layers
  RouterSpec router = {};
};

/// What a source calls the key that GGUF calls "expert_used_count".
using KeyNaming = std::function<std::string(std::string_view gguf_key)>;

/// Throws sw::Error, naming the key, where the numbers of a source cannot be routed with. `where` says whose
/// they are ("model.gguf"); without `name_of` keys are named as GGUF does.
void validate(const RouterSpec& spec, const std::string& where, const KeyNaming& name_of = {});

}  // namespace sw
