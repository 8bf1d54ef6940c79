// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

namespace sw {

/// How the flags of a grid's weights (grid.h) are stored.
enum class GridFlags {
  Free,        ///< a sign per weight
  Even,        ///< a sign per weight, of each eight an even number of minus signs
  PerEight,    ///< eight weights share a flag
  PerSubBlock  ///< the weights of a sub-block share a flag
};

/// The search behind the formats of a grid: which factor, scales, points and flags reproduce 256 weights with
/// the least squared error, each weight's counted `importance` times (null: once); see FitTarget in fit.h for
/// what is made of odd weights and importances. The points are the best ones for the scales, found by
/// branch and bound; the scales are improved while that lowers the error.
///
/// A format declares for it, beside what grid.h needs,
///   kFlags
///   kMaxScale         the largest of its scales, which begin at 0
///   factor(scale)     ascending; step(block, j) is d factor(scale of j)
template <class Format>
struct GridFit {
  static constexpr int kSubs = 256 / Format::kSub;
  GridFit(const float* x, const float* importance);

  uint16_t d = 0;  ///< f16
  uint8_t scale[kSubs] = {};
  uint16_t point[256 / Format::Grid::kWidth] = {};
  uint8_t flags[32] = {};  ///< of weights 8 o + k in bit k
};

}  // namespace sw
