// SPDX-License-Identifier: MIT
#include "model/expert_bytes.h"

namespace sw {

std::vector<std::vector<uint64_t>> expert_bytes(const Model& model) {
  const int n_expert = model.hparams().moe.n_expert;
  std::vector<std::vector<uint64_t>> layers;
  for (int b = 0; b < model.hparams().n_run_block(); ++b) {
    if (!has_experts(model, b)) continue;
    std::vector<uint64_t>& bytes = layers.emplace_back(static_cast<size_t>(n_expert), 0);
    for (const Role role : {Role::ExpertGate, Role::ExpertUp, Role::ExpertDown}) {
      for (int e = 0; e < n_expert; ++e)
        bytes[static_cast<size_t>(e)] += model.expert(role, b, e).size_bytes();
    }
  }
  return layers;
}

uint64_t chosen_bytes(const LayerStats& before, const LayerStats& after, std::span<const uint64_t> bytes,
                      std::span<const int> places, int device) {
  uint64_t sum = 0;
  for (size_t e = 0; e < bytes.size(); ++e) {
    if (places[e] == device && after.counts[e] != before.counts[e]) sum += bytes[e];
  }
  return sum;
}

}  // namespace sw
