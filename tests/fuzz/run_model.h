// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>

#include "base/error.h"
#include "support/cache_rig.h"

namespace sw::fuzz {

/// One token through the model, as `run` would do it, with as little memory as it can.
inline void run_one_token(const Model& model) {
  int n_slot = 0;
  for (const MoeLayer& layer : model.moe_layers()) n_slot = std::max(n_slot, layer.router.n_expert_used);
  const PolicyTable policies(model.moe_layers(), model.hparams().n_layer, n_slot, 1);
  Forward forward(model, policies, {.n_ubatch = 1, .n_logit_row = 1});
  testing::CacheRig cache(forward, Forward::cache_plan(model, 1, Type::F16));
  SW_ASSERT(cache.step({.id = model.hparams().n_vocab - 1}).n_cols() == model.hparams().n_vocab);
}

}  // namespace sw::fuzz
