// SPDX-License-Identifier: MIT
#pragma once
#include <string_view>

namespace sw {

/// Why a key of config.json changes no result here, whatever the architecture; empty where nothing is known
/// of the key, which then must not be passed over.
std::string_view why_idle(std::string_view key);
/// Likewise of a member of rope_scaling.
std::string_view why_idle_in_rope_scaling(std::string_view key);

}  // namespace sw
