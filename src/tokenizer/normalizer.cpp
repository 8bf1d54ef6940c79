// SPDX-License-Identifier: MIT
#include "tokenizer/normalizer.h"

#include <algorithm>
#include <utf8proc.h>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

namespace sw {
namespace {

constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

void append_decomposed(char32_t code_point, std::vector<int32_t>& out) {
  constexpr utf8proc_ssize_t kMost = 18;  // the longest decomposition of one code point
  int32_t parts[kMost];
  int boundary = 0;
  const auto n = utf8proc_decompose_char(static_cast<int32_t>(code_point), parts, kMost, kOptions, &boundary);
  SW_ASSERT(n >= 0 && n <= kMost);
  out.insert(out.end(), parts, parts + n);
}

/// Canonical order. utf8proc's own sort takes quadratic time on a long run of marks, which a hostile
/// text can hold; on text in order it has nothing left to do.
void sort_marks(std::vector<int32_t>& text) {
  const auto rank = [](int32_t c) { return utf8proc_get_property(c)->combining_class; };
  const auto is_mark = [&](int32_t c) { return rank(c) != 0; };
  for (auto begin = text.begin(); begin != text.end();) {
    begin = std::find_if(begin, text.end(), is_mark);
    const auto end = std::find_if_not(begin, text.end(), is_mark);
    std::stable_sort(begin, end, [&](int32_t a, int32_t b) { return rank(a) < rank(b); });
    begin = end;
  }
}

void append_nfc(std::string_view valid, std::string& out) {
  std::vector<int32_t> text;
  text.reserve(valid.size());
  while (!valid.empty()) {
    const Utf8Step step = next_utf8(valid);
    append_decomposed(step.code_point, text);
    valid.remove_prefix(step.length);
  }
  sort_marks(text);
  const auto n = utf8proc_normalize_utf32(text.data(), static_cast<utf8proc_ssize_t>(text.size()), kOptions);
  SW_ASSERT(n >= 0);
  for (utf8proc_ssize_t i = 0; i < n; ++i) {
    append_utf8(static_cast<char32_t>(text[static_cast<size_t>(i)]), out);
  }
}

/// Where bytes are no UTF-8, they stay as they are.
void append_mixed(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    append_nfc(text.substr(0, valid), out);
    text.remove_prefix(valid);
    const size_t invalid = invalid_utf8_prefix(text);
    out += text.substr(0, invalid);
    text.remove_prefix(invalid);
  }
}

}  // namespace

bool may_need_nfc(std::string_view text) {
  constexpr uint8_t kLeadOfU0300 = 0xCC;
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) >= kLeadOfU0300; });
}

std::string nfc(std::string_view text) {
  const auto is_ascii = [](char c) { return static_cast<uint8_t>(c) < 0x80; };
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    // ASCII stays, but its last character may compose with what follows; what precedes ASCII never does.
    const size_t ascii = ascii_prefix(text);
    const size_t kept = ascii == text.size() ? ascii : ascii - std::min<size_t>(ascii, 1);
    out += text.substr(0, kept);
    text.remove_prefix(kept);
    if (text.empty()) break;
    const auto end = std::find_if(text.begin() + 1, text.end(), is_ascii);
    const auto n = static_cast<size_t>(end - text.begin());
    append_mixed(text.substr(0, n), out);
    text.remove_prefix(n);
  }
  return out;
}

}  // namespace sw
