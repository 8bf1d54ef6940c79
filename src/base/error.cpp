// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace sw {
namespace {

constexpr size_t kMaxLineBytes = 1000;

std::string make_line(const Error::Parts& p) {
  std::string line = p.what;
  if (!p.where.empty()) line += ": " + p.where;
  if (!p.expected.empty()) line += ": expected " + p.expected;
  if (!p.got.empty()) line += (p.expected.empty() ? ": got " : ", got ") + p.got;
  if (!p.hint.empty()) line += " (" + p.hint + ")";
  return printable(line, kMaxLineBytes);
}

}  // namespace

Error::Error(Parts parts) : parts_(std::move(parts)), line_(make_line(parts_)) {}

std::string printable(const std::string& text, size_t max_bytes) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      out += escaped;
    } else {
      out += c;
    }
    if (out.size() >= max_bytes) {
      // Never cut inside a UTF-8 sequence: drop its begun bytes.
      while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
      if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
      return out + "...";
    }
  }
  return out;
}

void assert_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "switchyard: internal error: %s failed at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace sw
