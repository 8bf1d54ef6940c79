// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/fallback.h"
#include "tokenizer/merger.h"
#include "tokenizer/spaces.h"
#include "tokenizer/spec.h"
#include "tokenizer/text_model.h"
#include "tokenizer/text_table.h"

namespace sw {

/// SentencePiece's BPE over text whose spaces are marked: each character is a symbol, and neighbours are
/// joined in the order of a list of merges, or, where the spec has none, by the score of the token that they
/// make, the greatest first. Characters left without a token become bytes or the unknown token.
class CharBpe : public TextModel {
 public:
  /// Throws sw::Error where merges or scores make no sense.
  explicit CharBpe(const TokenizerSpec& spec);

  /// O(n log n) for n bytes without a space between them, or n bytes at all where tokens reach across words.
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::vector<std::string_view> pieces(std::string_view text) const override { return cutter_.cut(text); }

 private:
  int32_t symbol(std::string_view character) const;
  std::string unspelled(int32_t symbol) const;
  MergeTable scored_merges(const TokenizerSpec& spec) const;
  void encode_word(std::string_view word, Merger& merger, std::vector<int32_t>& ids) const;

  WordCutter cutter_;
  Fallback fallback_;
  TextTable tokens_;  // that text can become
  int32_t n_vocab_;   // from here on: symbols that are no tokens
  MergeTable merges_;
};

}  // namespace sw
