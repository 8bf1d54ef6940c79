// SPDX-License-Identifier: MIT
#include "kernels/cpu/avx512/rows4.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/act_q8.h"
#include "quant/k_scales.h"
#include "quant/q4_k.h"
#include "quant/q6_k.h"
#include "quant/q8_0.h"

/// Weights move four at a time, as 32-bit words: act_q8_position() keeps four neighbors together. Any CPU can
/// pack.
namespace sw {
namespace {

constexpr uint32_t kLowNibbles = 0x0f0f0f0fu, kLowTwoBits = 0x03030303u;

uint32_t load_word(const void* bytes, int i) {
  uint32_t word;
  std::memcpy(&word, static_cast<const uint8_t*>(bytes) + 4 * i, sizeof word);
  return word;
}

void store_word(uint32_t word, uint8_t* bytes, int i) { std::memcpy(bytes + 4 * i, &word, sizeof word); }

/// Word 4 h + k of a group of 32 goes to vector k; there, in this word of the 16.
constexpr int lane(int row, int group, int half) { return row % 2 * 8 + half * 4 + group / 2; }

void pack_block(const Q4_K::Block& from, int row, Rows4Q4K& to) {
  const int pair = row / 2;
  for (int c = 0; c < 4; ++c) {
    for (int j = 0; j < 8; ++j) {
      store_word(load_word(from.q, 8 * c + j), to.q[pair][j % 4], lane(row, 2 * c, j / 4));
    }
  }
  for (int g = 0; g < 8; ++g) {
    const KScale k = k_scale(from.scales, g);
    const int at = row % 2 * 8 + act_q8_group(g);
    to.fields[pair][at] = static_cast<uint8_t>(to.fields[pair][at] | k.scale);
    for (int i = 0; i < 3; ++i) {
      if (pair == 1) to.fields[i][at] = static_cast<uint8_t>(to.fields[i][at] | (k.min >> 2 * i & 3) << 6);
    }
    if (pair == 0) to.fields[2][at] = static_cast<uint8_t>(to.fields[2][at] | k.min);
  }
  to.d[row] = from.d;
  to.dmin[row] = from.dmin;
}

/// Four low nibbles, and four pairs of high bits, of word `j` of group `g`.
uint32_t low_bits(const Q6_K::Block& block, int g, int j) {
  return load_word(block.low, g / 4 * 16 + g % 2 * 8 + j) >> g % 4 / 2 * 4 & kLowNibbles;
}
uint32_t high_bits(const Q6_K::Block& block, int g, int j) {
  return load_word(block.high, g / 4 * 8 + j) >> g % 4 * 2 & kLowTwoBits;
}

void pack_block(const Q6_K::Block& from, int row, Rows4Q6K& to) {
  const int pair = row / 2;
  for (int c = 0; c < 4; ++c) {
    for (int half = 0; half < 2; ++half) {
      const int at = lane(row, 2 * c, half);
      uint32_t high[2] = {};
      for (int k = 0; k < 4; ++k) {
        const int j = 4 * half + k;
        store_word(low_bits(from, 2 * c, j) | low_bits(from, 2 * c + 1, j) << 4, to.low[pair][k], at);
        for (int odd = 0; odd < 2; ++odd) high[odd] |= high_bits(from, 2 * c + odd, j) << 2 * k;
      }
      for (int odd = 0; odd < 2; ++odd) {
        store_word(high[odd], to.high[pair][odd], at);
        to.scales[pair][odd][at] = from.scales[4 * c + 2 * odd + half];
      }
    }
  }
}

/// `n_group` of the 8 blocks are there.
void pack_blocks(const Q8_0::Block* from, int n_group, int row, Rows4Q8_0& to) {
  const int pair = row / 2;
  for (int g = 0; g < n_group; ++g) {
    for (int j = 0; j < 8; ++j) {
      const uint32_t word = load_word(from[g].q, j) ^ 0x80808080u;
      store_word(word, to.q[pair][g % 2 * 4 + j % 4], lane(row, g, j / 4));
    }
    to.d[pair][row % 2 * 8 + act_q8_group(g)] = from[g].d;
  }
}

/// Of the last vectors, the lanes of `n_group` groups, one behind the other.
std::byte* store_lanes(const Rows4Q8_0& from, int n_group, std::byte* to) {
  for (const auto& pair : from.q) {
    for (int v = 0; v < 8; ++v) {
      const size_t n_bytes = 4 * static_cast<size_t>(rows4_lanes(n_group, v / 4));
      for (int quarter = 0; quarter < 4; ++quarter, to += n_bytes)
        std::memcpy(to, pair[v] + 16 * quarter, n_bytes);
    }
  }
  return to;
}

/// The rows of one group; where the matrix ends within it, rows of zeros.
template <class Block>
struct Rows {
  const Block* row[kRows4Group];
  bool is_there[kRows4Group];
  Block none = {};

  Rows(const WeightView& from, int64_t first) {
    for (int64_t i = 0; i < kRows4Group; ++i) {
      is_there[i] = first + i < from.shape.n_rows();
      row[i] = is_there[i] ? reinterpret_cast<const Block*>(from.row(first + i)) : &none;
    }
  }
  /// From block `b` of row `i` on; only one block where the row is not there.
  const Block* at(int64_t i, int64_t b) const { return row[i] + (is_there[i] ? b : 0); }
};

void pack_group(const Rows<Q4_K::Block>& rows, int64_t n_in, std::byte* to) {
  for (int64_t b = 0; b < n_in / 256; ++b, to += sizeof(Rows4Q4K)) {
    Rows4Q4K packed = {};
    for (int i = 0; i < kRows4Group; ++i) pack_block(*rows.at(i, b), i, packed);
    std::memcpy(to, &packed, sizeof packed);
  }
}

void pack_group(const Rows<Q6_K::Block>& rows, int64_t n_in, std::byte* to) {
  const int64_t n_block = n_in / 256;
  std::byte* factors = to + static_cast<size_t>(n_block) * sizeof(Rows4Q6K);
  for (int64_t b = 0; b < n_block; ++b, to += sizeof(Rows4Q6K)) {
    Rows4Q6K packed;
    for (int i = 0; i < kRows4Group; ++i) {
      const Q6_K::Block& block = *rows.at(i, b);
      pack_block(block, i, packed);
      std::memcpy(factors, &block.d, sizeof block.d);
      factors += sizeof block.d;
    }
    std::memcpy(to, &packed, sizeof packed);
  }
}

void pack_group(const Rows<Q8_0::Block>& rows, int64_t n_in, std::byte* to) {
  for (int64_t i = 0; i < n_in; i += 256) {
    const int n_group = static_cast<int>(std::min<int64_t>(256, n_in - i) / 32);
    Rows4Q8_0 packed = {};
    for (int r = 0; r < kRows4Group; ++r) {
      if (rows.is_there[r]) pack_blocks(rows.at(r, i / 32), n_group, r, packed);
    }
    std::memcpy(to, packed.d, sizeof packed.d);
    to = store_lanes(packed, n_group, to + sizeof packed.d);
  }
}

template <class Format>
void pack_rows(const WeightView& from, int64_t row_begin, int64_t row_end, std::byte* packed) {
  const int64_t n_in = from.shape.n_cols();
  const size_t group_bytes = rows4_group_bytes(from.type, n_in);
  const size_t stored_bytes = kRows4Group * from.row_size_bytes();
  for (int64_t r = row_begin; r < row_end; r += kRows4Group) {
    std::byte* group = packed + static_cast<size_t>(r / kRows4Group) * group_bytes;
    // What stays unused of the last cache lines has always the same bytes.
    if (group_bytes > stored_bytes) std::memset(group + stored_bytes, 0, group_bytes - stored_bytes);
    pack_group(Rows<typename Format::Block>(from, r), n_in, group);
  }
}

size_t size_bytes(Type type, int64_t n_out, int64_t n_in) {
  return rows4_group_bytes(type, n_in) * static_cast<size_t>((n_out + kRows4Group - 1) / kRows4Group);
}

void pack(const WeightView& from, int64_t row_begin, int64_t row_end, std::byte* packed) {
  SW_ASSERT(row_begin % kRows4Group == 0 && (row_end % kRows4Group == 0 || row_end == from.shape.n_rows()));
  if (from.type == Type::Q4_K) return pack_rows<Q4_K>(from, row_begin, row_end, packed);
  if (from.type == Type::Q6_K) return pack_rows<Q6_K>(from, row_begin, row_end, packed);
  SW_ASSERT(from.type == Type::Q8_0);
  pack_rows<Q8_0>(from, row_begin, row_end, packed);
}

}  // namespace

size_t rows4_group_bytes(Type type, int64_t n_in) {
  size_t n_bytes = kRows4Group * row_bytes(type, n_in);
  // A short last block of Q8_0 keeps room for 8 scales per row.
  if (type == Type::Q8_0 && n_in % 256 != 0) n_bytes += static_cast<size_t>(8 - n_in % 256 / 32) * 4 * 2;
  return (n_bytes + 63) / 64 * 64;
}

const PackedLayout rows4 = {
    .name = "rows4", .row_group = kRows4Group, .size_bytes = size_bytes, .pack = pack};

}  // namespace sw
