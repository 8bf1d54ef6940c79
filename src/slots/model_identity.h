// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "model/model.h"

namespace sw {

/// Tells models apart whose keys and values must not be mixed, in hexadecimal: made of the architecture's
/// metadata as it is in force (with what was overridden), and of each tensor's name, format, shape and first
/// bytes. Not of the file's name, the model's name or its tokenizer. Cost: reads up to 4 KiB of each tensor.
std::string model_identity(const Model& model);

}  // namespace sw
