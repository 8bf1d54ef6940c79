// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "base/rng.h"

namespace sw::fuzz {

/// A GGUF file with one to three fields of its header changed (counts, types, lengths, names, values,
/// dimensions, offsets), entries dropped or doubled, or numbers of its data replaced. Tensor data moves
/// with the header, so that a change stays the only one.
std::string mutate_gguf(std::string file, Rng& rng);

}  // namespace sw::fuzz
