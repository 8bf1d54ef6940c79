// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/matmul.h"
#include "kernels/vector.h"

/// Declares every variant of the lists, for the files that define, choose, test and measure them. All of
/// them link on every CPU; one that was not built for it refuses.
namespace sw {

#define SW_VARIANT(name, isa) extern const MatmulKernel name;
#include "kernels/variants/matmul.inc"
#undef SW_VARIANT

#define SW_VARIANT(name, isa) extern const VectorKernel name;
#include "kernels/variants/vector.inc"
#undef SW_VARIANT

/// Stands for a variant on a CPU that its file cannot be compiled for.
constexpr MatmulKernel not_built(const char* name, Isa isa) {
  return {.name = name, .isa = isa, .refuses = [](const MatmulDesc&) { return "not built for this CPU"; }};
}

}  // namespace sw
