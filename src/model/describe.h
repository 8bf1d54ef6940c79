// SPDX-License-Identifier: MIT
#pragma once
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/compile.h"

namespace sw {

/// From a model's weights and hyperparameters to the descriptions of its operations.
struct Describe {
  const ArchSpec& arch;
  const HParams& hparams;
  const WeightSource& weights;

  EmbedDesc embed() const;
  /// Of the operation that mixes tokens.
  template <class Desc>
  Desc mixer(int block) const;
  RouteDesc route(int block, const MoeLayer& layer, int moe_layer) const;
  /// The part of `device`, of experts whose devices are `placed` [n_expert]. `identity`: this part adds the
  /// identity experts' share. `tables` gets what the stacks point at.
  ExpertsDesc experts(int block, std::span<const int> placed, int device, bool identity, int n_slot,
                      std::deque<std::vector<ExpertMatrix>>& tables) const;
  /// The shared experts of an MoE block; nothing where it has none.
  std::optional<FfnDesc> shared(int block) const;
  /// `normed`: reads the activations that the block's router normed.
  FfnDesc dense(int block, bool normed) const;
  /// Without a matrix of its own the head reads the embedding's table.
  HeadDesc head() const;

 private:
  Linear linear(Role role, int block = -1) const { return {.weight = weights.weight(role, block)}; }
  Values values(Role role, int block = -1) const;
  Rope rope() const;
  QkNorm qk_norm(int block) const;
};

#define SW_MIXER(name) \
  template <>          \
  name##Desc Describe::mixer<name##Desc>(int block) const;
#include "arch/roles.inc"

}  // namespace sw
