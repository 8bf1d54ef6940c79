// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace sw {

/// The devices of this run, by index; 0 is the CPU.
using Devices = std::vector<std::unique_ptr<Backend>>;

/// `wanted`: "" for the CPU and every GPU that can be used, "none" for the CPU alone, names
/// ("CUDA0,CUDA1") for these, or "fake:N" for N fake devices. Where GPUs were named and are
/// not there throws sw::Error; with "" leaves out those that cannot be used and says why in `note`, if given.
Devices open_devices(const std::string& wanted, std::string* note = nullptr,
                     PeerAccess peer_access = PeerAccess::Allowed);

/// The index of a device's name (any case) in `names`. Throws sw::Error that lists them.
int find_device(std::span<const std::string> names, const std::string& name, const std::string& where);

}  // namespace sw
