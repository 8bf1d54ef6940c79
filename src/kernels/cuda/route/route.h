// SPDX-License-Identifier: MIT
#pragma once
#include "router/route_counts.h"
#include "router/routing.h"

namespace sw::cuda {

class Queue;

/// Routers of more experts (identity experts counted) do not fit a block's shared memory.
inline constexpr int kMaxRouterLogits = 2048;

/// sw::route on a GPU: from equal logits equal ids, and weights equal to the bit. Queued; every pointer is
/// the GPU's.
/// policies   the policy table's rows; policy_id [n_token]
/// moe_layer  the layer's row of the table
/// logits     [n_token, n_expert + n_zero]; any number of tokens
/// bias       [n_expert + n_zero] or null
/// out        ids and weights [n_token, k_max], k_max at least the k of every policy in the table
/// counts     what was chosen is added to these, if wanted; k_max as above. The entropy is added in any
/// order,
///            so its last bits are not fixed
void route_rows(const RouterSpec& spec, const PolicyRows& policies, int moe_layer, const uint16_t* policy_id,
                TensorView<const float> logits, const float* bias, Routing& out, const RouteCounts& counts,
                Queue& queue);

}  // namespace sw::cuda
