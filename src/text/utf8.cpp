// SPDX-License-Identifier: MIT
#include "text/utf8.h"

#include <cstring>

namespace sw {

Utf8Step last_utf8(std::string_view text) {
  constexpr size_t kMaxLength = 4;
  size_t lead = text.size() - 1;
  while (lead > 0 && text.size() - lead < kMaxLength && (static_cast<uint8_t>(text[lead]) & 0xC0) == 0x80)
    --lead;
  const Utf8Step step = next_utf8(text.substr(lead));
  const bool is_whole = step.kind == Utf8Step::Kind::Valid && step.length == text.size() - lead;
  return is_whole ? step : Utf8Step{};
}

size_t ascii_prefix(std::string_view text) {
  size_t n = 0;
  for (uint64_t word; n + sizeof word <= text.size(); n += sizeof word) {
    std::memcpy(&word, text.data() + n, sizeof word);
    if (word & 0x8080808080808080u) break;
  }
  while (n < text.size() && static_cast<uint8_t>(text[n]) < 0x80) ++n;
  return n;
}

Utf8Step next_utf8(std::string_view text) {
  using Kind = Utf8Step::Kind;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {Kind::Valid, 1, lead};
  if (lead < 0xC2 || lead > 0xF4) return {Kind::Invalid, 1, 0};

  const uint8_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and what lies past U+10FFFF.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t code_point = lead & (0x7F >> length);
  for (uint8_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Kind::Truncated, i, 0};
    const bool fits = i == 1 ? byte(i) >= low && byte(i) <= high : (byte(i) & 0xC0) == 0x80;
    if (!fits) return {Kind::Invalid, i, 0};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {Kind::Valid, length, code_point};
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t n = 0;
  while (true) {
    n += ascii_prefix(text.substr(n));
    if (n == text.size()) return n;
    const Utf8Step step = next_utf8(text.substr(n));
    if (step.kind != Utf8Step::Kind::Valid) return n;
    n += step.length;
  }
}

size_t invalid_utf8_prefix(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const Utf8Step step = next_utf8(text.substr(n));
    if (step.kind == Utf8Step::Kind::Valid) break;
    n += step.length;
  }
  return n;
}

void append_utf8(char32_t code_point, std::string& out) {
  const auto put = [&](char32_t bits) { out += static_cast<char>(bits); };
  if (code_point < 0x80) {
    put(code_point);
    return;
  }
  if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      put(0xE0 | code_point >> 12);
    } else {
      put(0xF0 | code_point >> 18);
      put(0x80 | (code_point >> 12 & 0x3F));
    }
    put(0x80 | (code_point >> 6 & 0x3F));
  }
  put(0x80 | (code_point & 0x3F));
}

}  // namespace sw
