// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace sw {

/// The devices of this run; a device's slot is its place here, and slot 0 is the processor.
using Devices = std::vector<std::unique_ptr<Backend>>;

/// `wish`: "" for the processor and every GPU that can be used, "none" for the processor alone, names
/// ("CUDA0,CUDA1") for these, or "fake:N" for N fake devices. Where GPUs were wished for by name and are
/// not there throws sw::Error; with "" leaves out those that cannot be used and says why in `note`, if given.
Devices open_devices(const std::string& wish, std::string* note = nullptr);

/// The slot of a device's name (any case). Throws sw::Error that lists the names there are.
int find_device(const Devices& devices, const std::string& name, const std::string& where);

}  // namespace sw
