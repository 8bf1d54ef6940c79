// SPDX-License-Identifier: MIT
#pragma once
#include <vector>

#include "arch/hparams.h"

namespace sw {

/// What turns positions into rotations.
struct RopeTable {
  std::vector<float> inv_freq = {};  ///< [n_rot / 2] angle of a step of one position
  float magnitude = 1.0f;            ///< of cos and sin
};

/// `factors` [n_rot / 2], where a model has them, divide the frequencies.
RopeTable rope_table(const RopeParams& rope, const float* factors = nullptr);

/// What yarn multiplies attention scores by; 1 where it, or the model, does not.
float yarn_score_scale(const RopeParams& rope);

/// [n_rot / 2] the factors of llama3 scaling.
std::vector<float> llama3_factors(const RopeParams& rope);

}  // namespace sw
