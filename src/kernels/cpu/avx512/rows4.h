// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/layout.h"

/// The layout "rows4": four rows lie together, as two pairs. A vector of 64 bytes holds 32 of each row of a
/// pair, in the order of ActQ8, so that a kernel loads and multiplies without moving a byte. Nothing is lost
/// or rounded; the size is that of the stored rows, filled up to whole groups and cache lines.
namespace sw {

inline constexpr int64_t kRows4Group = 4;
static_assert(kRowGrain % kRows4Group == 0);

/// 256 weights of four rows. Scales of a pair: those of its first row's groups in ActQ8's order, then its
/// second's.
struct Rows4Q4K {
  uint8_t q[2][4][64];  ///< [pair][vector]: even groups in the low nibbles, odd ones in the high nibbles
  /// 6-bit fields: the low bits are the scales of pair 0, of pair 1, the minimums of pair 0. The two bits
  /// above are those of the minimums of pair 1, the lowest first.
  uint8_t fields[3][16];
  uint16_t d[4], dmin[4];  ///< f16, [row]
};
static_assert(sizeof(Rows4Q4K) == 4 * 144);

/// 256 weights of four rows but for the f16 factors, d[4] per block, which follow the group's last block.
struct Rows4Q6K {
  uint8_t low[2][4][64];   ///< [pair][vector]: low bits, even groups in the low nibbles, odd ones in the high
  uint8_t high[2][2][64];  ///< [pair][odd]: bits 2 k and 2 k + 1 are the top two of vector k
  int8_t scales[2][2][16];  ///< [pair][odd]: of the 8 lanes of the first row, then of the second
};
static_assert(sizeof(Rows4Q6K) + 4 * sizeof(uint16_t) == 4 * 210);

/// 8 blocks of 32 weights of four rows. A last one with fewer blocks has the same scales and, of each vector,
/// only the lanes of the blocks that are there.
struct Rows4Q8_0 {
  uint16_t d[2][16];    ///< f16, [pair]
  uint8_t q[2][8][64];  ///< [pair][vector]: weight + 128, even groups first
};
static_assert(sizeof(Rows4Q8_0) == 4 * 8 * 34);

namespace {  // not a weak symbol: AVX-512 code calls it
/// Of four lanes of even (or odd) groups, those that a block of `n_group` groups has.
constexpr int rows4_lanes(int n_group, int odd) { return (n_group + 1 - odd) / 2; }
}  // namespace

/// Bytes of four packed rows; a multiple of 64. Q4_K, Q6_K and Q8_0 only.
size_t rows4_group_bytes(Type type, int64_t n_in);

extern const PackedLayout rows4;

}  // namespace sw
