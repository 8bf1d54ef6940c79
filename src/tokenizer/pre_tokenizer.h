// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "tokenizer/spec.h"

namespace sw {

/// What a name in tokenizer.ggml.pre stands for.
struct NamedPreTokenizer {
  std::string_view name;  ///< of several, the one that we write
  bool ignore_merges = false, nfc = false, add_bos = false;
  std::vector<std::string_view> patterns = {};
};

/// All of pre_tokenizers.inc.
std::span<const NamedPreTokenizer> named_pre_tokenizers();
/// Null where the name is not known.
const NamedPreTokenizer* find_pre_tokenizer(std::string_view name);
/// The one with exactly these patterns and this way with merges; null where there is none.
const NamedPreTokenizer* match_pre_tokenizer(const std::vector<std::string>& patterns, bool ignore_merges);

/// Cuts text into the pieces that byte-pair merging never crosses.
class PreTokenizer {
 public:
  /// Throws sw::Error where a pattern does not compile, is too long, or there are too many.
  explicit PreTokenizer(const std::vector<std::string>& patterns, const std::vector<SplitRule>& rules = {});

  /// Appends the pieces, which view `text` and together are all of it, but for what a rule removes. Each
  /// pattern cuts the pieces of the one before; what lies between two matches is a piece too. A run of
  /// invalid UTF-8 is a piece of its own. O(n) for the patterns of real models.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  struct Stage {
    Regex pattern;
    SplitRule rule;
  };
  void split_valid(size_t stage, std::string_view text, std::vector<std::string_view>& pieces) const;
  static std::vector<std::string_view> cut(const Stage& stage, std::string_view text);

  std::vector<Stage> stages_;
};

}  // namespace sw
