// SPDX-License-Identifier: MIT
#include "tokenizer/spaces.h"

#include <algorithm>

#include "text/utf8.h"

namespace sw {
namespace {

/// Whether the token holds a mark right after something else: then it reaches across words.
bool crosses_words(std::string_view token) {
  bool after_other = false;
  while (!token.empty()) {
    const bool mark = token.starts_with(kSpaceMark);
    if (mark && after_other) return true;
    after_other = !mark;
    token.remove_prefix(mark ? kSpaceMark.size() : 1);
  }
  return false;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_white_space(const Utf8Step& step) {
  return step.kind == Utf8Step::Kind::Valid && is_white_space(step.code_point);
}

}  // namespace

std::string mark_spaces(std::string_view text, const SpaceRule& rule, bool first) {
  using Prefix = SpaceRule::Prefix;
  if (text.empty()) return {};
  const bool there = text.starts_with(' ') || text.starts_with(kSpaceMark);
  const bool wanted = rule.prefix == Prefix::Always || (rule.prefix == Prefix::First && first);
  std::string marked;
  const auto n_spaces = static_cast<size_t>(std::ranges::count(text, ' '));
  marked.reserve(text.size() + (n_spaces + 1) * kSpaceMark.size());
  if (wanted && !(rule.if_missing && there)) marked += kSpaceMark;
  for (const char c : text) {
    if (c == ' ')
      marked += kSpaceMark;
    else
      marked += c;
  }
  return marked;
}

std::string unmark_spaces(std::string_view text) {
  std::string plain;
  while (true) {
    const size_t mark = std::min(text.find(kSpaceMark), text.size());
    plain += text.substr(0, mark);
    if (mark == text.size()) return plain;
    plain += ' ';
    text.remove_prefix(mark + kSpaceMark.size());
  }
}

WordCutter::WordCutter(const TokenizerSpec& spec) {
  if (spec.spaces.split_words) {
    where_ = Where::BeforeEach;
    return;
  }
  // A mark without a token of its own could become one unknown token with what is before it.
  bool mark_is_token = false, crosses = false;
  for (const TokenizerSpec::Token& token : spec.tokens) {
    if (!token.spells_text()) continue;
    mark_is_token |= token.text == kSpaceMark;
    crosses |= crosses_words(token.text);
  }
  where_ = mark_is_token && !crosses ? Where::BeforeRuns : Where::Nowhere;
}

std::vector<std::string_view> WordCutter::cut(std::string_view text) const {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    size_t end = 0;
    if (where_ == Where::BeforeEach && text.starts_with(kSpaceMark)) end = kSpaceMark.size();
    while (where_ == Where::BeforeRuns && text.substr(end).starts_with(kSpaceMark)) end += kSpaceMark.size();
    end = where_ == Where::Nowhere ? text.size() : std::min(text.find(kSpaceMark, end), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

size_t leading_white_space(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const Utf8Step step = next_utf8(text.substr(n));
    if (!is_white_space(step)) break;
    n += step.length;
  }
  return n;
}

size_t trailing_white_space(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const Utf8Step step = last_utf8(text.substr(0, text.size() - n));
    if (!is_white_space(step)) break;
    n += step.length;
  }
  return n;
}

}  // namespace sw
