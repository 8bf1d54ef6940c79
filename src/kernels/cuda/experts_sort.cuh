// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>

#include "kernels/cuda/expert_slots.cuh"
#include "kernels/cuda/product/tiles.h"

/// A counting sort of (token, slot) pairs by expert: a warp an expert reads all pairs and keeps its own, so
/// that tokens stay in order and no atomic decides anything. Pairs without an expert here get no row.
namespace sw::cuda {

/// The sorted pairs: a row each.
struct SortedRows {
  Tile* tiles;     ///< [n_tile] runs of rows of one expert, cut; -1 beyond the last
  int32_t* token;  ///< [n_token * n_slot] the row's token
  int32_t* row;    ///< [n_token, n_slot] -> row; set only where the pair has one
  int32_t* place;  ///< [n_token, n_slot] -> place in the stacks, or -1
  int32_t* count;  ///< [n_place] rows of the expert
  int64_t n_pair, n_tile;

  /// Tiles of `n_pair` rows at most, each expert's last one ragged.
  static int64_t most_tiles(int64_t n_pair, int64_t n_place) {
    return std::min(n_pair, n_pair / kTileRows + n_place);
  }
  SortedRows(int64_t n_token, int64_t n_slot, int64_t n_place, Scratch& scratch)
      : tiles(scratch.take<Tile>(most_tiles(n_token * n_slot, n_place))),
        token(scratch.take<int32_t>(n_token * n_slot)),
        row(scratch.take<int32_t>(n_token * n_slot)),
        place(scratch.take<int32_t>(n_token * n_slot)),
        count(scratch.take<int32_t>(n_place)),
        n_pair(n_token * n_slot),
        n_tile(most_tiles(n_pair, n_place)) {}
  static size_t scratch_bytes(int64_t n_token, int64_t n_slot, int64_t n_place) {
    const int64_t n_pair = n_token * n_slot;
    const auto bytes = [](int64_t n, size_t size) {
      return Scratch::padded_bytes(static_cast<size_t>(n) * size);
    };
    return bytes(most_tiles(n_pair, n_place), sizeof(Tile)) + 3 * bytes(n_pair, sizeof(int32_t)) +
           bytes(n_place, sizeof(int32_t));
  }
};

/// Fills `rows` from the choices of a batch; `n_place` is the number of experts in the stacks.
void sort_by_expert(const ExpertSlots& slots, const SortedRows& rows, int64_t n_place, OpContext& context);

}  // namespace sw::cuda
