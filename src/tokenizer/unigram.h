// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/fallback.h"
#include "tokenizer/pair_map.h"
#include "tokenizer/spaces.h"
#include "tokenizer/spec.h"
#include "tokenizer/text_model.h"

namespace sw {

/// SentencePiece's unigram model over text whose spaces are marked: of all ways to spell a word with tokens,
/// the one whose scores have the greatest sum. A character without a token costs 10 more than the worst
/// token.
class Unigram : public TextModel {
 public:
  /// Throws sw::Error where scores make no sense.
  explicit Unigram(const TokenizerSpec& spec);

  /// O(n x longest token) for n bytes.
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::vector<std::string_view> pieces(std::string_view text) const override { return cutter_.cut(text); }

 private:
  /// The best way to spell a word up to some place.
  struct Best {
    double score = 0;
    uint32_t length = 0;  // bytes of its last token; 0: no way yet
    int32_t id = -1;      // -1: a character without a token
  };
  void encode_word(std::string_view word, std::vector<Best>& best, std::vector<int32_t>& ids) const;
  void add(std::string_view text, int32_t id);

  WordCutter cutter_;
  Fallback fallback_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  PairMap<int32_t> children_;             // (node, byte) -> node of the tokens' trie; 0 is its root
  std::vector<int32_t> node_ids_ = {-1};  // the token that ends in a node
};

}  // namespace sw
