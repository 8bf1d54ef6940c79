// SPDX-License-Identifier: MIT
#include "router/stats_json.h"

#include <nlohmann/json.hpp>

namespace sw {

nlohmann::ordered_json stats_to_json(const LayerStats& stats) {
  return {{"layer", stats.layer},
          {"n_expert", stats.n_expert},
          {"group_size", stats.group_size},
          {"n_tokens", stats.n_tokens},
          {"counts", stats.counts},
          {"groups_per_token", stats.groups_per_token},
          {"real_per_token", stats.real_per_token},
          {"entropy_bits", stats.entropy_bits}};
}

}  // namespace sw
