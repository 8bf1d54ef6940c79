// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/text_table.h"

namespace sw {

/// Pieces met before in the same text, with the ids they got. One entry per slot: a new piece replaces the
/// old. Keys view the text and values the ids given out so far, so nothing is copied.
class PieceCache {
 public:
  static constexpr size_t kLongest = 64;  // bytes of a piece
  struct Entry {
    std::string_view piece = {};
    size_t first_id = 0, n_ids = 0;
  };
  /// Within bounds: making it must not cost more than it saves.
  explicit PieceCache(size_t n_pieces)
      : entries_(std::clamp(std::bit_ceil(n_pieces / 2), kLeastSlots, kMostSlots)) {}

  Entry& slot_of(std::string_view piece) { return entries_[hash_text(piece) & (entries_.size() - 1)]; }

 private:
  static constexpr size_t kLeastSlots = 16, kMostSlots = 1 << 15;
  std::vector<Entry> entries_;
};

/// Appends the ids of pieces of one text. Calls encode_piece(piece), which appends to `ids` what depends on
/// that piece alone; a short piece met before mostly costs a look-up instead.
template <class F>
void encode_pieces(std::span<const std::string_view> pieces, std::vector<int32_t>& ids, F&& encode_piece) {
  PieceCache cache(pieces.size());
  for (const std::string_view piece : pieces) {
    if (piece.size() > PieceCache::kLongest) {
      encode_piece(piece);
      continue;
    }
    PieceCache::Entry& known = cache.slot_of(piece);
    const size_t first_id = ids.size();
    if (known.piece == piece) {
      ids.resize(first_id + known.n_ids);
      std::copy_n(ids.begin() + static_cast<ptrdiff_t>(known.first_id), known.n_ids,
                  ids.begin() + static_cast<ptrdiff_t>(first_id));
    } else {
      encode_piece(piece);
      known = {piece, first_id, ids.size() - first_id};
    }
  }
}

}  // namespace sw
