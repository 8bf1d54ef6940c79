// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstddef>

namespace sw {

#ifdef __CUDACC__
/// A table's copy in a GPU's memory: device code cannot index the host's.
template <class Table>
static __device__ constexpr auto kTableOnDevice = Table::kEntries;
#endif

/// Entry i of a table that a format looks weights up in: a struct with `kEntries`, a constexpr std::array.
/// The one place that knows where a GPU has it.
template <class Table>
constexpr auto table_entry(int i) {
#ifdef __CUDA_ARCH__
  return kTableOnDevice<Table>[static_cast<size_t>(i)];
#else
  return Table::kEntries[static_cast<size_t>(i)];
#endif
}

}  // namespace sw
