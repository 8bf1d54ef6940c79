// SPDX-License-Identifier: MIT
#pragma once
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "model/forward.h"

namespace sw {

/// A device as the reader of a profile knows it.
struct ProfileDevice {
  std::string name = {};
  double read_limit = 0;  ///< bytes a second that it reads from its memory at best; 0: not measured
};
/// Of all devices, their limits measured now; see Forward::measure_read_limits().
std::vector<ProfileDevice> profile_devices(Forward& forward);

/// A Markdown table, without a line end behind it, with a line per row and, for each device, one for the rest
/// of the wall time. A rate is that of weights alone: what is read of the cache and of activations comes on
/// top.
std::string profile_table(const ProfileSummary& profile, std::span<const ProfileDevice> devices);

/// The same as an object; null where something is not known.
nlohmann::ordered_json profile_json(const ProfileSummary& profile, std::span<const ProfileDevice> devices);

}  // namespace sw
