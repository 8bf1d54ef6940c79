// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "kernels/backend.h"

/// GPUs as the rest of the program sees them: no CUDA header is needed to include this, and every function
/// is there in a program that was built without CUDA.
namespace sw::cuda {

/// How many GPUs can be used; 0 where none is there, and then `why`, if given, says in one line why
/// ("no NVIDIA driver", "the driver is too old: needs 13.0, have 12.4", "built without CUDA").
int device_count(std::string* why = nullptr);
/// GPU `index` as device `device`. Throws sw::SystemError.
std::unique_ptr<Backend> open(int index, Device device, PeerAccess peer_access = PeerAccess::Allowed);

}  // namespace sw::cuda
