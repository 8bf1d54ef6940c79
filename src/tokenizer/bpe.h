// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/merger.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"
#include "tokenizer/text_model.h"
#include "tokenizer/text_table.h"

namespace sw {

/// Byte-level BPE: the text is cut into pieces, each piece's bytes are tokens, and the pair of neighbours
/// that stands first in the list of merges is joined until none is left.
class Bpe : public TextModel {
 public:
  /// Throws sw::Error where the spec's merges or patterns make no sense.
  explicit Bpe(const TokenizerSpec& spec);

  /// O(n log n) for a piece of n bytes; a piece that is a token, and mostly one met before in the text,
  /// costs a look-up. A byte that has no token gives the unknown token, or nothing where there is none, as
  /// in `tokenizers`.
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::vector<std::string_view> pieces(std::string_view text) const override;

 private:
  /// Whether the merges make a token of its own bytes. Found out when first met, by whichever thread.
  enum class Whole : uint8_t { Unknown, Yes, No };

  void add_whole_tokens(const TokenizerSpec& spec);
  void encode_piece(std::string_view piece, Merger& merger, std::vector<int32_t>& ids) const;

  PreTokenizer pre_tokenizer_;
  std::array<int32_t, 256> byte_ids_;
  MergeTable merges_;
  TextTable tokens_;  // by their bytes
  mutable std::vector<std::atomic<Whole>> whole_;
};

}  // namespace sw
