// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec.h"

namespace sw {

/// U+2581, which stands for a space in the tokens of SentencePiece.
inline constexpr std::string_view kSpaceMark = "\u2581";

/// Text as SentencePiece's tokens spell it: spaces as marks, one in front where the rule says so. `first`:
/// nothing comes before the text. An empty text stays empty.
std::string mark_spaces(std::string_view text, const SpaceRule& rule, bool first);

/// Marks become spaces.
std::string unmark_spaces(std::string_view text);

/// Cuts marked text into parts that can be encoded each on its own.
class WordCutter {
 public:
  /// Without split_words cuts only where no token of the vocabulary can reach across.
  explicit WordCutter(const TokenizerSpec& spec);
  /// The parts view `text` and together are all of it.
  std::vector<std::string_view> cut(std::string_view text) const;

 private:
  enum class Where { Nowhere, BeforeRuns, BeforeEach };  // of marks
  Where where_;
};

/// White space at the end and at the beginning of a text, in bytes.
size_t trailing_white_space(std::string_view text);
size_t leading_white_space(std::string_view text);

}  // namespace sw
