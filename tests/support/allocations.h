// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

namespace sw::testing {

/// Calls of operator new since the start of a program that links allocations.cpp.
uint64_t n_allocation();

}  // namespace sw::testing
