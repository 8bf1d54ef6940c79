// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

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
  bool select_bias = false;                       ///< a bias takes part in selection, not in weights
  int n_expert = 0;                               ///< experts with weights
  int n_expert_zero = 0;                          ///< identity experts, ids n_expert .. n_expert + zero - 1
  int n_expert_used = 0;                          ///< default k
  int n_group = 1;                                ///< neighbours: group g = ids [g * size, (g + 1) * size)
  int n_group_used = 1;
  GroupScore group_score = GroupScore::Top2Sum;
  bool renorm = false;                            ///< divide weights by their sum over the kept slots
  float renorm_eps = 0.0f;                        ///< added to that sum
  int renorm_min_k = 1;                           ///< the least k (the policy's) at which renorm applies
  float scale = 1.0f;                             ///< multiplies every weight

  int n_logits() const { return n_expert + n_expert_zero; }
};

}  // namespace sw
