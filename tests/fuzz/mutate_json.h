// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "base/rng.h"

namespace sw::fuzz {

/// A JSON text with one to three of its values replaced, dropped, doubled, swapped or renamed; now and
/// then changed as plain bytes.
std::string mutate_json(const std::string& text, Rng& rng);

/// The same for the header of a safetensors file; now and then its length, its data or its end.
std::string mutate_safetensors(const std::string& file, Rng& rng);

/// One to three bytes changed, left out or doubled, or the end cut off.
std::string mutate_bytes(std::string bytes, Rng& rng);

}  // namespace sw::fuzz
