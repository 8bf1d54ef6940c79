// SPDX-License-Identifier: MIT
#include "jinja/values/str.h"

#include <algorithm>
#include <cstring>

#include "text/utf8.h"

namespace sw::jinja {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Where the code point that ends at `end` begins.
size_t previous(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && is_continuation(text[end]));
  return end;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return ++at, lead;
  const Utf8Step step = next_utf8(text.substr(at));
  at += step.length;
  return step.code_point;
}

size_t text_length(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), is_continuation));
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  constexpr size_t kBlock = 64;  // counted at once, which the compiler makes vectors of
  while (index > kBlock && at + kBlock < text.size()) {
    index -= text_length(text.substr(at, kBlock));
    at += kBlock;
  }
  while (at < text.size() && (index > 0 || is_continuation(text[at]))) index -= !is_continuation(text[at++]);
  return at;
}

size_t find_last(std::string_view text, std::string_view wanted) {
  if (wanted.empty()) return text.size();
  for (size_t end = text.size(); end > 0;) {
    const void* found = memrchr(text.data(), wanted[0], end);
    if (!found) break;
    end = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    if (text.substr(end).starts_with(wanted)) return end;
  }
  return text.npos;
}

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side) {
  const auto goes = [&](size_t begin, size_t end) {
    if (!chars) return is_space(next_code_point(text, begin));
    if (end - begin == 1) return chars->find(text[begin]) != chars->npos;
    return chars->find(text.substr(begin, end - begin)) != chars->npos;
  };
  size_t begin = 0, end = text.size();
  while (side != Side::Right && begin < end) {
    size_t next = begin;
    next_code_point(text, next);
    if (!goes(begin, next)) break;
    begin = next;
  }
  while (side != Side::Left && begin < end) {
    const size_t last = previous(text, end);
    if (!goes(last, end)) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    long n_max) {
  std::vector<std::string_view> parts;
  if (separator) {
    for (size_t at; n_max != 0 && (at = text.find(*separator)) != text.npos; --n_max) {
      parts.push_back(text.substr(0, at));
      text.remove_prefix(at + separator->size());
    }
    parts.push_back(text);
    return parts;
  }
  for (text = strip(text, {}, Side::Left); !text.empty(); text = strip(text, {}, Side::Left), --n_max) {
    size_t end = n_max == 0 ? text.size() : 0, next = 0;
    while (n_max != 0 && end < text.size() && !is_space(next_code_point(text, next))) end = next;
    parts.push_back(text.substr(0, end));
    if (n_max == 0) break;
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<std::string_view> split_right(std::string_view text, std::optional<std::string_view> separator,
                                          long n_max) {
  std::vector<std::string_view> parts;
  if (separator) {
    for (size_t at; n_max != 0 && (at = find_last(text, *separator)) != text.npos; --n_max) {
      parts.push_back(text.substr(at + separator->size()));
      text = text.substr(0, at);
    }
    parts.push_back(text);
  } else {
    for (text = strip(text, {}, Side::Right); !text.empty(); text = strip(text, {}, Side::Right), --n_max) {
      size_t begin = n_max == 0 ? 0 : text.size();
      while (n_max != 0 && begin > 0) {
        const size_t last = previous(text, begin);
        size_t end = last;
        if (is_space(next_code_point(text, end))) break;
        begin = last;
      }
      parts.push_back(text.substr(begin));
      if (n_max == 0) break;
      text = text.substr(0, begin);
    }
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    if (!is_line_end(next_code_point(text, at))) continue;
    if (text[end] == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

size_t count_replaced(std::string_view text, std::string_view from, long n_max) {
  size_t n = 0;
  const auto limit = n_max < 0 ? text.npos : static_cast<size_t>(n_max);
  if (from.empty()) return std::min(limit, text_length(text) + 1);
  for (size_t at = 0; n < limit && (at = text.find(from, at)) != text.npos; at += from.size()) ++n;
  return n;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, long n_max) {
  std::string out;
  size_t at = 0;
  for (size_t n = count_replaced(text, from, n_max); n > 0; --n) {
    if (from.empty()) {  // before each code point, and at the end
      const size_t begin = at;
      out += to;
      if (at < text.size()) next_code_point(text, at);
      out += text.substr(begin, at - begin);
    } else {
      const size_t found = text.find(from, at);
      out.append(text, at, found - at).append(to);
      at = found + from.size();
    }
  }
  return out.append(text.substr(at));
}

void append_hex(std::string_view mark, uint32_t number, int n_digits, std::string& out) {
  out += mark;
  for (int i = n_digits - 1; i >= 0; --i) out += "0123456789abcdef"[number >> (4 * i) & 15];
}

}  // namespace sw::jinja
