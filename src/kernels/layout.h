// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

#include "quant/weight.h"

/// What a weight means is its Type; how a matrix's bytes lie is a layout; where they lie is a device. Files
/// keep matrices "as stored": row after row, each of row_bytes(). A kernel that reads them in another order
/// names a PackedLayout, and whoever places the weights packs them before anything is computed.
namespace sw {

/// Every layout's row_group divides this. Work on a matrix is cut at its multiples, whatever the layout.
inline constexpr int64_t kRowGrain = 8;

/// An order of bytes in which neighboring rows are mixed. A row has no address of its own: only the kernel,
/// with row_begin and row_end of MatmulArgs, and pack() reach it.
struct PackedLayout {
  const char* name = nullptr;  ///< "rows4"
  int64_t row_group = 1;       ///< rows that lie together; the last group may be short
  /// Of a packed matrix. At most a few percent more than as stored, once there are a few dozen rows.
  size_t (*size_bytes)(Type type, int64_t n_out, int64_t n_in) = nullptr;
  /// Packs rows [row_begin, row_end) of `from`, a matrix as stored, into their place in `packed`, the packed
  /// matrix's first byte. Both ends are multiples of row_group; the second may also be n_out. Disjoint ranges
  /// may be packed at the same time. Allocates nothing; about as fast as memory.
  void (*pack)(const WeightView& from, int64_t row_begin, int64_t row_end, std::byte* packed) = nullptr;
};

/// A packed matrix should begin at a multiple of this; it changes the speed alone.
inline constexpr size_t kPackedAlignBytes = 64;

}  // namespace sw
