// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"
#include "tokenizer/text_model.h"

namespace sw {

/// The merges of a BPE model, best first, found by the pair that they join.
class MergeTable {
 public:
  struct Merge {
    int32_t left, right, merged;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  MergeTable() = default;
  /// Where a pair stands twice, the later one counts, as in Hugging Face's `tokenizers`.
  explicit MergeTable(std::vector<Merge> merges);

  /// The place of the pair in the list (0: merged first), or kNone.
  uint32_t rank(int32_t left, int32_t right) const {
    for (size_t i = slot(left, right);; i = (i + 1) & mask_) {
      if (slots_[i].rank == kNone) return kNone;
      if (slots_[i].left == left && slots_[i].right == right) return slots_[i].rank;
    }
  }
  const Merge& operator[](uint32_t rank) const { return merges_[rank]; }

 private:
  struct Slot {
    int32_t left = 0, right = 0;
    uint32_t rank = kNone;
  };
  size_t slot(int32_t left, int32_t right) const {
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    return (key * 0x9E3779B97F4A7C15u) >> 32 & mask_;
  }

  std::vector<Merge> merges_;
  std::vector<Slot> slots_ = std::vector<Slot>(1);  // open addressing, at most half full
  size_t mask_ = 0;
};

/// Byte-level BPE: the text is cut into pieces, each piece's bytes are tokens, and the pair of neighbours
/// that stands first in the list of merges is joined until none is left.
class Bpe : public TextModel {
 public:
  /// Throws sw::Error where the spec's merges or patterns make no sense.
  explicit Bpe(const TokenizerSpec& spec);

  /// O(n log n) for a piece of n bytes; repeated words cost a look-up. A byte that has no token gives the
  /// unknown token, or nothing where there is none, as in `tokenizers`.
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::vector<std::string_view> pieces(std::string_view text) const override;

 private:
  class Merger;
  void encode_piece(std::string_view piece, Merger& merger, std::vector<int32_t>& ids) const;

  PreTokenizer pre_tokenizer_;
  std::array<int32_t, 256> byte_ids_;
  MergeTable merges_;
  std::unordered_map<std::string, int32_t> whole_pieces_;  // filled only for ignore_merges
};

}  // namespace sw
