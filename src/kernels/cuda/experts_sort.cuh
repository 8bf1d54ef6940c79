// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>

#include "kernels/cuda/expert_slots.cuh"
#include "kernels/cuda/product/tiles.h"

/// A counting sort of (token, slot) pairs by expert: a block per expert reads all pairs, a section per warp,
/// and keeps its own, so that tokens stay in order and no atomic decides anything. Pairs without an expert
/// here get no row.
namespace sw::cuda {

inline constexpr int kSortWarps = 8;

/// The sorted pairs: a row each.
struct SortedRows {
  Tile* tiles;             ///< [n_tile] runs of rows of one expert, cut; -1 beyond the last
  int32_t* token;          ///< [n_token * n_slot] the row's token
  int32_t* row;            ///< [n_token, n_slot] -> row, or -1
  int32_t* expert;         ///< [n_token, n_slot] -> the expert that is here, or -1
  int32_t* count;          ///< [n_expert] rows of the expert
  int32_t* section_count;  ///< [n_expert, kSortWarps] those of them that each warp found
  int64_t n_pair, n_tile;

  /// Tiles of `n_pair` rows at most, each expert's last one ragged.
  static int64_t most_tiles(int64_t n_pair, int64_t n_here) {
    return std::min(n_pair, n_pair / kTileRows + n_here);
  }
  /// `take(pointer, n)` makes room for n elements.
  template <class Take>
  SortedRows(const ExpertsDesc& d, int64_t n_token, const Take& take)
      : n_pair(n_token * d.n_slot), n_tile(most_tiles(n_pair, d.gate.n_here)) {
    take(tiles, n_tile);
    for (int32_t** of_pair : {&token, &row, &expert}) take(*of_pair, n_pair);
    take(count, d.n_expert());
    take(section_count, d.n_expert() * kSortWarps);
  }
};

/// Fills `rows` from the choices of a batch; `stack` is any of the layer's.
void sort_by_expert(const ExpertSlots& slots, const ExpertStack& stack, const SortedRows& rows,
                    OpContext& context);

}  // namespace sw::cuda
