// SPDX-License-Identifier: MIT
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "router/stats.h"

namespace sw {

/// One layer's statistics: the members of LayerStats by their names.
nlohmann::ordered_json stats_to_json(const LayerStats& stats);

}  // namespace sw
