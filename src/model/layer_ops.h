// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"
#include "model/placed_model.h"

/// From a model's weights and figures to the descriptions of its operations. `layer` counts blocks.
namespace sw {

EmbedDesc embed_desc(const PlacedModel& placed);
AttentionDesc attention_desc(const PlacedModel& placed, int layer);
MlaDesc mla_desc(const PlacedModel& placed, int layer);
/// Without the policies, which a device's buffers hold.
RouteDesc route_desc(const PlacedModel& placed, int layer, int moe_layer);
/// `identity`: this part adds the identity experts' share.
ExpertsDesc experts_desc(const ExpertsPart& part, bool identity, int n_slot, float swiglu_limit);
/// The shared experts of an MoE layer; nothing where it has none. Reads the router's normed activations.
std::optional<FfnDesc> shared_desc(const PlacedModel& placed, int layer);
/// `normed`: reads the activations that the block's router normed.
FfnDesc dense_desc(const PlacedModel& placed, int layer, bool normed);
HeadDesc head_desc(const PlacedModel& placed);

}  // namespace sw
