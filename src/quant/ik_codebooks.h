// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>

#include "quant/iq4_values.h"
#include "quant/table.h"

/// The values that codes and scales stand for in the formats of ik_llama.cpp (ik_blocks.h).
namespace sw {

/// The entries of a table, all higher by kShift in the sub-blocks that say so.
template <class Table, int kShift>
struct Codebook {
  static constexpr int kSize = static_cast<int>(Table::kEntries.size());
  static constexpr float value(int code, bool shifted) {
    return static_cast<float>(table_entry<Table>(code) + (shifted ? kShift : 0));
  }
};

struct Ik2Values {
  static constexpr std::array<int8_t, 4> kEntries = {-31, -13, 1, 17};
};
struct Ik3Values {
  static constexpr std::array<int8_t, 8> kEntries = {-63, -40, -23, -10, 1, 13, 28, 47};
};
struct Ik5Values {
  static constexpr std::array<int8_t, 32> kEntries = {
      -126, -114, -103, -92, -83, -74, -65, -57, -50, -43, -36, -30, -24, -18, -12, -6,
      -1,   5,    11,   17,  23,  29,  36,  43,  51,  59,  68,  77,  87,  97,  109, 121};
};
using Codebook2 = Codebook<Ik2Values, 5>;
using Codebook3 = Codebook<Ik3Values, 4>;
using Codebook4 = Codebook<Iq4Values, 4>;
using Codebook5 = Codebook<Ik5Values, 2>;

/// 64 values on a cubic, each product and sum rounded to f32 once, as a fused multiplication and addition
/// does: in f64 the product is exact.
struct Ik6Values {
  static constexpr std::array<float, 64> kEntries = [] {
    std::array<float, 64> values = {};
    for (size_t q = 0; q < 64; ++q) {
      for (const float c : {0.0011972f, -0.11218f, 6.2568f, -127.0f}) {
        values[q] = static_cast<float>(static_cast<double>(values[q]) * static_cast<double>(q) +
                                       static_cast<double>(c));
      }
    }
    return values;
  }();
};
struct Codebook6 {
  static constexpr int kSize = 64;
  static constexpr float value(int code, bool shifted) {
    return table_entry<Ik6Values>(code) + (shifted ? 1.0f : 0.0f);
  }
};

/// Pairs of values of the 3-bit codebook, one after the other.
struct IkPairs {
  static constexpr std::array<int8_t, 64> kEntries = {
      -63, -23, -63, 13,  -40, -63, -40, -10, -40, 13,  -40, 47,  -23, -40, -23, -23,
      -23, 1,   -23, 13,  -23, 28,  -10, -63, -10, 1,   -10, 13,  -10, 47,  1,   -23,
      1,   -10, 1,   1,   1,   13,  1,   28,  13,  -40, 13,  -23, 13,  -10, 13,  1,
      13,  13,  28,  -63, 28,  -23, 28,  1,   28,  28,  28,  47,  47,  -23, 47,  13};
};
struct PairCodebook {
  static constexpr int kSize = 32;
  static constexpr float value(int code, int which) {
    return static_cast<float>(table_entry<IkPairs>(2 * code + which));
  }
};

/// The integer scales first, first + step, ..., of which a sub-block stores the index.
template <int kFirst, int kStep, int kCount>
struct LinearScales {
  static constexpr int kSize = kCount;
  static constexpr int value(int index) { return kFirst + kStep * index; }
  /// The index of the scale nearest to v.
  static constexpr int near(float v) {
    const float index = (v - static_cast<float>(kFirst)) / static_cast<float>(kStep) + 0.5f;
    return index >= 1.0f ? index < static_cast<float>(kCount) ? static_cast<int>(index) : kCount - 1 : 0;
  }
};
/// The 4-bit codebook, as scales.
struct CodebookScales {
  static constexpr int kSize = Codebook4::kSize;
  static constexpr int value(int index) { return static_cast<int>(Codebook4::value(index, false)); }
  static constexpr int near(float v) {
    int index = 0;
    while (index + 1 < kSize && 2 * v > static_cast<float>(value(index) + value(index + 1))) ++index;
    return index;
  }
};

}  // namespace sw
