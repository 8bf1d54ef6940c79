// SPDX-License-Identifier: MIT
#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace sw {
namespace {

constexpr size_t kMaxPatterns = 32;

enum Semantics : unsigned { kPlain = 0, kIgnoreMerges = 1, kNfc = 2, kAddBos = 4 };

NamedPreTokenizer entry(std::string_view name, unsigned semantics, std::vector<std::string_view> patterns) {
  return {name, (semantics & kIgnoreMerges) != 0, (semantics & kNfc) != 0, (semantics & kAddBos) != 0,
          std::move(patterns)};
}

}  // namespace

std::span<const NamedPreTokenizer> named_pre_tokenizers() {
  static const std::vector<NamedPreTokenizer> entries = {
#define SW_PRE_TOKENIZER(name, semantics, ...) entry(name, semantics, {__VA_ARGS__}),
#define SW_PRE_TOKENIZER_ALIAS(alias, name)
#include "tokenizer/pre_tokenizers.inc"
#undef SW_PRE_TOKENIZER_ALIAS
#undef SW_PRE_TOKENIZER
  };
  return entries;
}

const NamedPreTokenizer* find_pre_tokenizer(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
#define SW_PRE_TOKENIZER(name, semantics, ...)
#define SW_PRE_TOKENIZER_ALIAS(alias, name) {alias, name},
#include "tokenizer/pre_tokenizers.inc"
#undef SW_PRE_TOKENIZER_ALIAS
#undef SW_PRE_TOKENIZER
  };
  for (const auto& [alias, meant] : kAliases) {
    if (name == alias) return find_pre_tokenizer(meant);
  }
  const auto all = named_pre_tokenizers();
  const auto found = std::ranges::find(all, name, &NamedPreTokenizer::name);
  return found == all.end() ? nullptr : &*found;
}

const NamedPreTokenizer* match_pre_tokenizer(const std::vector<std::string>& patterns, bool ignore_merges) {
  const auto all = named_pre_tokenizers();
  const auto found = std::ranges::find_if(all, [&](const NamedPreTokenizer& named) {
    return named.ignore_merges == ignore_merges && std::ranges::equal(named.patterns, patterns);
  });
  return found == all.end() ? nullptr : &*found;
}

PreTokenizer::PreTokenizer(const std::vector<std::string>& patterns) {
  if (patterns.size() > kMaxPatterns) {
    throw Error({.what = "the pre-tokenizer has too many patterns",
                 .expected = "at most " + std::to_string(kMaxPatterns),
                 .got = std::to_string(patterns.size())});
  }
  for (const std::string& pattern : patterns) {
    stages_.emplace_back(pattern, "pre-tokenizer pattern '" + pattern + "'");
  }
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  while (!text.empty()) {
    if (const size_t valid = valid_utf8_prefix(text))
      split_valid(0, text.substr(0, valid), pieces);
    else
      pieces.push_back(text.substr(0, invalid_utf8_prefix(text)));
    const std::string_view last = pieces.back();
    text.remove_prefix(static_cast<size_t>(last.data() + last.size() - text.data()));
  }
}

void PreTokenizer::split_valid(size_t stage, std::string_view text,
                               std::vector<std::string_view>& pieces) const {
  if (text.empty()) return;
  if (stage == stages_.size()) {
    pieces.push_back(text);
    return;
  }
  size_t cut = 0;  // all before it is done
  stages_[stage].for_each_match(text, [&](size_t begin, size_t end) {
    split_valid(stage + 1, text.substr(cut, begin - cut), pieces);
    split_valid(stage + 1, text.substr(begin, end - begin), pieces);
    cut = end;
  });
  split_valid(stage + 1, text.substr(cut), pieces);
}

}  // namespace sw
