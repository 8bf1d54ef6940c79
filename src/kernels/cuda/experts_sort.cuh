// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>

#include "kernels/cuda/expert_slots.cuh"
#include "kernels/cuda/product/tiles.h"

/// A counting sort of (token, slot) pairs by expert, in one launch: every block counts all pairs, those
/// before its own apart, so that no block waits for another, and then places its own. Tokens stay in order;
/// atomics only count, they decide nothing. Pairs without an expert here get no row.
namespace sw::cuda {

/// More experts than that do not fit a block's shared memory.
inline constexpr int64_t kMostSortedExperts = 4000;

/// The sorted pairs: a row each.
struct SortedRows {
  Tile* tiles;     ///< [n_tile] runs of rows of one expert, cut after tile_rows; -1 beyond the last
  int32_t* token;  ///< [n_token * n_slot] the row's token
  int32_t* row;    ///< [n_token, n_slot] -> row, or -1
  int64_t n_pair, n_tile;
  int tile_rows;

  /// Tiles of `n_pair` rows at most, each expert's last one ragged.
  static int64_t most_tiles(int64_t n_pair, int64_t n_here, int tile_rows) {
    return std::min(n_pair, n_pair / tile_rows + n_here);
  }
  /// `take(pointer, n)` makes room for n elements.
  template <class Take>
  SortedRows(const ExpertsDesc& d, int64_t n_token, int tile_rows, const Take& take)
      : n_pair(n_token * d.n_slot),
        n_tile(most_tiles(n_pair, d.gate.n_here, tile_rows)),
        tile_rows(tile_rows) {
    take(tiles, n_tile);
    for (int32_t** of_pair : {&token, &row}) take(*of_pair, n_pair);
  }
};

/// Fills `rows` from the choices of a batch; `stack` is any of the layer's.
void sort_by_expert(const ExpertSlots& slots, const ExpertStack& stack, const SortedRows& rows,
                    OpContext& context);

}  // namespace sw::cuda
