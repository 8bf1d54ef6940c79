// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"
#include "model/model.h"

/// From a model's weights and figures to the descriptions of its operations.
namespace sw {

EmbedDesc embed_desc(const Model& model);
AttentionDesc attention_desc(const Model& model, int layer);
RouteDesc route_desc(const Model& model, int layer, int moe_layer, const PolicyTable& policies);
ExpertsDesc experts_desc(const Model& model, int layer, int n_slot);
/// The shared experts of an MoE layer; nothing where it has none. Reads the router's normed activations.
std::optional<FfnDesc> shared_desc(const Model& model, int layer);
FfnDesc dense_desc(const Model& model, int layer);
HeadDesc head_desc(const Model& model);

}  // namespace sw
