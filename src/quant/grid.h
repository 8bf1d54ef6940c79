// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <cstring>

#include "quant/table.h"

/// The codebooks of the IQ1, IQ2 and IQ3 formats. A point of a grid stands for kWidth weights next to each
/// other; its entry has a level of kBits bits for each, the first in the lowest bits, and the entries
/// ascend. A bit per weight, the flag, gives the integer its sign, or shifts it.
namespace sw {

/// Magnitudes with a sign.
struct SignedLevels {
  static constexpr int flagged(int value, bool flag) { return flag ? -value : value; }
};

struct Iq2Levels : SignedLevels {
  static constexpr int kWidth = 8, kBits = 2, kLevels = 3;
  static constexpr int value(int level) { return 8 + 17 * level + level / 2; }  // 8, 25, 43
};
struct Iq2XxsGrid : Iq2Levels {
  static constexpr std::array<uint16_t, 256> kEntries = {
#include "quant/grids/iq2_xxs.inc"
  };
};
struct Iq2XsGrid : Iq2Levels {
  static constexpr std::array<uint16_t, 512> kEntries = {
#include "quant/grids/iq2_xs.inc"
  };
};
struct Iq2SGrid : Iq2Levels {
  static constexpr std::array<uint16_t, 1024> kEntries = {
#include "quant/grids/iq2_s.inc"
  };
};

struct Iq3XxsGrid : SignedLevels {
  static constexpr int kWidth = 4, kBits = 3, kLevels = 8;
  static constexpr int value(int level) { return 4 + 8 * level + level / 7 * 2; }  // 4, 12, ... 52, 62
  static constexpr std::array<uint16_t, 256> kEntries = {
#include "quant/grids/iq3_xxs.inc"
  };
};
struct Iq3SGrid : SignedLevels {
  static constexpr int kWidth = 4, kBits = 3, kLevels = 8;
  static constexpr int value(int level) { return 1 + 2 * level; }
  static constexpr std::array<uint16_t, 512> kEntries = {
#include "quant/grids/iq3_s.inc"
  };
};

/// -1, 0 and 1, all moved up or down by an eighth; counted in eighths.
struct Iq1Grid {
  static constexpr int kWidth = 8, kBits = 2, kLevels = 3;
  static constexpr int value(int level) { return 8 * (level - 1); }
  static constexpr int flagged(int value, bool flag) { return flag ? value - 1 : value + 1; }
  static constexpr std::array<uint16_t, 2048> kEntries = {
#include "quant/grids/iq1_s.inc"
  };
};

/// The value of weight i of a point, before its flag.
template <class Grid>
constexpr int grid_value(int point, int i) {
  return Grid::value(table_entry<Grid>(point) >> Grid::kBits * i & ((1 << Grid::kBits) - 1));
}

/// The same for all weights of all points, for the CPU.
template <class Grid>
struct GridPoints {
  struct Table {
    int8_t values[Grid::kEntries.size()][Grid::kWidth];
  };
  static const Table kTable;
};
extern template struct GridPoints<Iq1Grid>;
extern template struct GridPoints<Iq2XxsGrid>;
extern template struct GridPoints<Iq2XsGrid>;
extern template struct GridPoints<Iq2SGrid>;
extern template struct GridPoints<Iq3XxsGrid>;
extern template struct GridPoints<Iq3SGrid>;

// A format of 256 weights of a grid declares Grid and
//   kSub               weights that share a scale
//   step(block, j)     the factor of the weights of sub-block j
//   point(block, g)    of the weights kWidth * g, kWidth * g + 1, ...
//   flags(block, o)    of the weights 8 o + k in bit k

template <class Format>
constexpr float grid_weight(const typename Format::Block& block, int i) {
  using Grid = typename Format::Grid;
  const int value = grid_value<Grid>(Format::point(block, i / Grid::kWidth), i % Grid::kWidth);
  const bool flag = Format::flags(block, i / 8) >> i % 8 & 1;
  return Format::step(block, i / Format::kSub) * static_cast<float>(Grid::flagged(value, flag));
}

/// All weights of a block, each sub-block's step made once.
template <class Format>
void decode_grid(const typename Format::Block& block, float* out) {
  using Grid = typename Format::Grid;
  constexpr int kPoints = 8 / Grid::kWidth;
  for (int j = 0; j < 256 / Format::kSub; ++j) {
    const float step = Format::step(block, j);
    for (int o = Format::kSub / 8 * j; o < Format::kSub / 8 * (j + 1); ++o) {
      int8_t values[8];
      for (int p = 0; p < kPoints; ++p) {
        const int point = Format::point(block, o * kPoints + p);
        std::memcpy(values + p * Grid::kWidth, GridPoints<Grid>::kTable.values[point], Grid::kWidth);
      }
      const int flags = Format::flags(block, o);
      for (int i = 0; i < 8; ++i) {
        out[8 * o + i] = step * static_cast<float>(Grid::flagged(values[i], flags & 1 << i));
      }
    }
  }
}

/// Eight sign bits of which seven are stored: the number of minus signs is even.
constexpr int even_signs(int seven) {
  const int folded = seven ^ seven >> 4;
  return seven | (0x6996 >> (folded & 15) & 1) << 7;
}

}  // namespace sw
