// SPDX-License-Identifier: MIT
#include "quant/grid.h"

namespace sw {

template <class Grid>
constexpr typename GridPoints<Grid>::Table GridPoints<Grid>::kTable = [] {
  Table table = {};
  for (int point = 0; point < static_cast<int>(Grid::kEntries.size()); ++point) {
    for (int i = 0; i < Grid::kWidth; ++i) {
      table.values[point][i] = static_cast<int8_t>(grid_value<Grid>(point, i));
    }
  }
  return table;
}();

template struct GridPoints<Iq1Grid>;
template struct GridPoints<Iq2XxsGrid>;
template struct GridPoints<Iq2XsGrid>;
template struct GridPoints<Iq2SGrid>;
template struct GridPoints<Iq3XxsGrid>;
template struct GridPoints<Iq3SGrid>;

}  // namespace sw
