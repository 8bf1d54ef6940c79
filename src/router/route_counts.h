// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

#include "router/routing.h"
#include "router/spec.h"

namespace sw {

struct LayerStats;

/// Where a layer's router counts what it chose, on the device that routes; see LayerStats. Every count is 8
/// bytes, so that any device can add to it: all but the entropy are exact in whatever order rows come.
/// All null where nobody asked for counts.
struct RouteCounts {
  double* entropy_bits = nullptr;        ///< [1]
  uint64_t* n_tokens = nullptr;          ///< [1]
  uint64_t* chosen = nullptr;            ///< [n_expert + n_zero]
  uint64_t* groups_per_token = nullptr;  ///< [n_group + 1]
  uint64_t* real_per_token = nullptr;    ///< [k_max + 1]
  int n_expert = 0;                      ///< ids from here on are identity experts
  int group_size = 0;

  constexpr bool wanted() const { return chosen != nullptr; }
};

/// Bytes of one layer's counts; k_max: the most experts of a token. All bytes 0: nothing counted.
size_t count_bytes(const RouterSpec& spec, int k_max);
/// A view of one layer's counts in `memory` (of any device, count_bytes() of it, aligned to 8): the arrays in
/// the order of RouteCounts.
RouteCounts counts_in(std::byte* memory, const RouterSpec& spec, int k_max);

/// Adds a batch's rows to counts in the CPU's memory. The entropy is added row by row, so its bits are those
/// of any cut of the rows into batches. No allocation.
void add_rows(const RouteCounts& counts, const Routing& routing);

/// What was counted, from a copy of the layer's memory on the CPU.
LayerStats read_counts(const std::byte* memory, const MoeLayer& layer, int k_max);

}  // namespace sw
