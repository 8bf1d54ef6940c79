// SPDX-License-Identifier: MIT
#include "tokenizer/special_tokens.h"

#include "text/regex.h"
#include "text/utf8.h"

namespace sw {
namespace {

bool is_word(std::string_view text, const Utf8Step& step, size_t at) {
  static const Regex word("\\A[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}]", "word characters",
                          Regex::Dialect::Pcre2);
  return step.kind == Utf8Step::Kind::Valid && word.finds(text.substr(at, step.length));
}

}  // namespace

bool begins_with_word(std::string_view text) { return !text.empty() && is_word(text, next_utf8(text), 0); }

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  const Utf8Step last = last_utf8(text);
  return is_word(text, last, text.size() - last.length);
}

int32_t SpecialTokens::child(int32_t node, uint8_t byte) const {
  int32_t next = nodes_[static_cast<size_t>(node)].first_child;
  while (next != kNone && nodes_[static_cast<size_t>(next)].byte != byte) {
    next = nodes_[static_cast<size_t>(next)].next_sibling;
  }
  return next;
}

void SpecialTokens::add(std::string_view text, int32_t id) {
  int32_t node = kNone;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    int32_t next = node == kNone ? root_[byte] : child(node, byte);
    if (next == kNone) {
      next = static_cast<int32_t>(nodes_.size());
      int32_t& link = node == kNone ? root_[byte] : nodes_[static_cast<size_t>(node)].first_child;
      const int32_t sibling = node == kNone ? kNone : link;
      link = next;
      nodes_.push_back({.byte = byte, .next_sibling = sibling});
    }
    node = next;
  }
  if (node != kNone && nodes_[static_cast<size_t>(node)].id == kNone)
    nodes_[static_cast<size_t>(node)].id = id;
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    Match best;
    int32_t node = root_[static_cast<uint8_t>(text[begin])];
    for (size_t end = begin + 1; node != kNone; ++end) {
      const int32_t id = nodes_[static_cast<size_t>(node)].id;
      if (id != kNone) best = {begin, end - begin, id};
      if (end == text.size()) break;
      node = child(node, static_cast<uint8_t>(text[end]));
    }
    if (best.id != kNone) return best;
  }
  return {};
}

}  // namespace sw
