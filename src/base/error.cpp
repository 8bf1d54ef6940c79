// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace sw {
namespace {

constexpr size_t kMaxLineBytes = 1000;
// Of what and where: text of a file in one must not push the other, with the file's name, off the line.
constexpr size_t kMaxPartBytes = 400;

std::string make_line(const Error::Parts& p) {
  std::string line = printable(p.what, kMaxPartBytes);
  if (!p.where.empty()) line += ": " + printable(p.where, kMaxPartBytes);
  if (!p.expected.empty()) line += ": expected " + p.expected;
  if (!p.got.empty()) line += (p.expected.empty() ? ": got " : ", got ") + p.got;
  if (!p.hint.empty()) line += " (" + p.hint + ")";
  return printable(line, kMaxLineBytes);
}

/// The length of the UTF-8 character that the text (not empty) begins with; 0 where a terminal must not see
/// its first byte: a control character (ASCII's or, behind 0xc2, those of C1) or no valid character.
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const size_t n_bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  uint32_t code = lead & (0x7fu >> n_bytes);
  for (size_t i = 1; i < n_bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0xa0, 0x800, 0x10000};  // below: written too long, or C1
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  const bool valid = lead < 0xf8 && code >= kLeast[n_bytes] && code <= 0x10ffff && !surrogate;
  return valid && lead >= 0xc0 ? n_bytes : 0;
}

}  // namespace

Error::Error(Parts parts) : parts_(std::move(parts)), line_(make_line(parts_)) {}

std::string printable(const std::string& text, size_t max_bytes) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    std::string piece = text.substr(at, character_bytes(std::string_view(text).substr(at)));
    at += std::max(piece.size(), size_t{1});
    if (piece.empty()) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(text[at - 1]));
      piece = escaped;
    }
    if (out.size() + piece.size() > max_bytes) return out + "...";
    out += piece;
  }
  return out;
}

void assert_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "switchyard: internal error: %s failed at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace sw
