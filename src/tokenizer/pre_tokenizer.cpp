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

PreTokenizer::PreTokenizer(const std::vector<std::string>& patterns, const std::vector<SplitRule>& rules) {
  if (patterns.size() > kMaxPatterns) {
    throw Error({.what = "the pre-tokenizer has too many patterns",
                 .expected = "at most " + std::to_string(kMaxPatterns),
                 .got = std::to_string(patterns.size())});
  }
  for (const std::string& pattern : patterns) {
    const size_t i = stages_.size();
    stages_.push_back({Regex(pattern, "pre-tokenizer pattern '" + pattern + "'"),
                       i < rules.size() ? rules[i] : SplitRule{}});
  }
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    const size_t n = valid ? valid : invalid_utf8_prefix(text);
    if (valid)
      split_valid(0, text.substr(0, n), pieces);
    else
      pieces.push_back(text.substr(0, n));
    text.remove_prefix(n);
  }
}

void PreTokenizer::split_valid(size_t stage, std::string_view text,
                               std::vector<std::string_view>& pieces) const {
  if (text.empty()) return;
  if (stage == stages_.size()) {
    pieces.push_back(text);
    return;
  }
  if (stages_[stage].rule.behavior != SplitRule::Behavior::Isolated) {
    for (const std::string_view piece : cut(stages_[stage], text)) split_valid(stage + 1, piece, pieces);
    return;
  }
  size_t done = 0;
  stages_[stage].pattern.for_each_match(text, [&](size_t begin, size_t end) {
    split_valid(stage + 1, text.substr(done, begin - done), pieces);
    split_valid(stage + 1, text.substr(begin, end - begin), pieces);
    done = end;
  });
  split_valid(stage + 1, text.substr(done), pieces);
}

namespace {

struct Segment {
  size_t begin, end;
  bool is_match;
};

/// Joins neighbours of one kind, or each match (first of its run) to the segment before it in `segments`.
std::vector<Segment> join(const std::vector<Segment>& segments, bool same_kind) {
  std::vector<Segment> joined;
  bool after_match = false;
  for (const Segment& segment : segments) {
    const bool joins = same_kind ? segment.is_match == after_match : segment.is_match && !after_match;
    if (joins && !joined.empty()) {
      joined.back().begin = std::min(joined.back().begin, segment.begin);
      joined.back().end = std::max(joined.back().end, segment.end);
    } else {
      joined.push_back(segment);
    }
    after_match = segment.is_match;
  }
  return joined;
}

}  // namespace

/// By any rule but Isolated.
std::vector<std::string_view> PreTokenizer::cut(const Stage& stage, std::string_view text) {
  using Behavior = SplitRule::Behavior;
  const auto [behavior, invert] = stage.rule;
  std::vector<Segment> segments;
  size_t done = 0;
  stage.pattern.for_each_match(text, [&, invert = invert](size_t begin, size_t end) {
    if (begin > done) segments.push_back({done, begin, invert});
    segments.push_back({begin, end, !invert});
    done = end;
  });
  if (done < text.size()) segments.push_back({done, text.size(), invert});
  if (behavior == Behavior::Removed) {
    std::erase_if(segments, [](const Segment& segment) { return segment.is_match; });
  } else if (behavior == Behavior::MergedWithNext) {  // as with the previous, from the end
    std::ranges::reverse(segments);
    segments = join(segments, false);
    std::ranges::reverse(segments);
  } else {
    segments = join(segments, behavior == Behavior::Contiguous);
  }
  std::vector<std::string_view> pieces;
  for (const Segment& segment : segments)
    pieces.push_back(text.substr(segment.begin, segment.end - segment.begin));
  return pieces;
}

}  // namespace sw
