// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"
#include "router/stats.h"

namespace sw {

/// Stored bytes of the matrices of each routed expert: [n_moe_layer, n_expert].
std::vector<std::vector<uint64_t>> expert_bytes(const Model& model);

/// Bytes of those experts of a layer on `device` that were chosen between two counts of its routing, each
/// once: what a pass in between read. `bytes`, `places` [n_expert].
uint64_t chosen_bytes(const LayerStats& before, const LayerStats& after, std::span<const uint64_t> bytes,
                      std::span<const int> places, int device);

}  // namespace sw
