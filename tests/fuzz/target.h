// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "base/rng.h"

/// What every fuzz target defines, whichever driver it is linked with: libFuzzer (libfuzzer_driver.cpp)
/// or the plain one (plain_driver.cpp) that replays files and mutates them in a fixed order.
namespace sw::fuzz {

using Bytes = std::span<const std::byte>;

/// Feeds one input to the code under test. 1 where it was accepted, 0 where it was refused with a proper
/// sw::Error. All else ends the process: see outcome.h.
int fuzz_one(Bytes input);

/// The input with one to three fields of its structure changed, in the form that fuzz_one() takes.
std::string mutate(const std::string& input, Rng& rng);

}  // namespace sw::fuzz
