// SPDX-License-Identifier: MIT
#include <algorithm>
#include <utf8proc.h>

#include "jinja/values/str.h"
#include "text/utf8.h"

namespace sw::jinja {
namespace {

struct SpecialCase {
  char32_t code_point;
  std::string_view upper, title;
};
constexpr SpecialCase kSpecialCases[] = {
#define SW_SPECIAL_CASE(code_point, upper, title) {code_point, upper, title},
#include "jinja/values/special_case.inc"
#undef SW_SPECIAL_CASE
};

void append_capital(char32_t c, bool title, std::string& out) {
  const auto special = std::ranges::lower_bound(kSpecialCases, c, {}, &SpecialCase::code_point);
  if (special != std::end(kSpecialCases) && special->code_point == c) {
    out += title ? special->title : special->upper;
    return;
  }
  const auto code_point = static_cast<utf8proc_int32_t>(c);
  append_utf8(static_cast<char32_t>(title ? utf8proc_totitle(code_point) : utf8proc_toupper(code_point)),
              out);
}

char32_t small(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_letter(char32_t c) {
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}
bool is_upper(char32_t c) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)); }
bool is_lower(char32_t c) { return utf8proc_islower(static_cast<utf8proc_int32_t>(c)); }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_superscript(char32_t c) {
  return c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
         (c >= 0x2080 && c <= 0x2089);
}
bool is_numeric(char32_t c) {
  const utf8proc_category_t k = category(c);
  return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool has(TextClass what, char32_t c) {
  switch (what) {
    case TextClass::Alpha:
      return is_letter(c);
    case TextClass::Digit:
      return is_decimal(c) || is_superscript(c);
    case TextClass::Decimal:
      return is_decimal(c);
    case TextClass::Numeric:
      return is_numeric(c);
    case TextClass::Alnum:
      return is_letter(c) || is_numeric(c);
    case TextClass::Space:
      return is_space(c);
    case TextClass::Ascii:
      return c < 0x80;
    case TextClass::Identifier:
      return is_name_character(c);
    case TextClass::Lower:
      return !is_upper(c) && !is_title(c);
    case TextClass::Upper:
      return !is_lower(c) && !is_title(c);
    case TextClass::Printable:
      return is_printable(c);
    case TextClass::Title:
      break;  // depends on what stands before
  }
  return true;
}

/// Capitals only where no letter stands before, small letters only where one does; one letter at least.
bool is_titled(std::string_view text) {
  bool after_letter = false, any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool capital = is_upper(c) || is_title(c);
    if (capital ? after_letter : is_lower(c) && !after_letter) return false;
    after_letter = capital || is_lower(c);
    any |= after_letter;
  }
  return any;
}

/// A capital sigma at the end of a word has a small form of its own.
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  const auto ignored = [](char32_t c) {
    const utf8proc_category_t k = category(c);
    return c == '\'' || c == '.' || c == ':' || c == 0xb7 || c == 0x2019 || k == UTF8PROC_CATEGORY_MN ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || k == UTF8PROC_CATEGORY_CF;
  };
  while (begin > 0) {
    do --begin;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80);
    size_t at = begin;
    const char32_t c = next_code_point(text, at);
    if (ignored(c)) continue;
    if (!is_cased(c)) return false;
    while (end < text.size()) {
      const char32_t next = next_code_point(text, end);
      if (!ignored(next)) return !is_cased(next);
    }
    return true;
  }
  return false;
}

void append_small(std::string_view text, size_t begin, size_t end, std::string& out) {
  constexpr char32_t kSigma = 0x3a3, kFinalSigma = 0x3c2, kDottedI = 0x130;
  size_t at = begin;
  const char32_t c = next_code_point(text, at);
  if (c == kSigma && is_final_sigma(text, begin, end)) {
    append_utf8(kFinalSigma, out);
  } else if (c == kDottedI) {
    out += "i\u0307";
  } else {
    append_utf8(small(c), out);
  }
}

/// Each code point through `append(begin, end, code point)`.
template <class F>
void for_each(std::string_view text, F&& append) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    append(begin, at, c);
  }
}

}  // namespace

std::string to_upper(std::string_view text) {
  std::string out;
  for_each(text, [&](size_t, size_t, char32_t c) { append_capital(c, false, out); });
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  for_each(text, [&](size_t begin, size_t end, char32_t) { append_small(text, begin, end, out); });
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for_each(text, [&](size_t begin, size_t end, char32_t c) {
    if (is_upper(c)) {
      append_small(text, begin, end, out);
    } else if (is_lower(c)) {
      append_capital(c, false, out);
    } else {
      append_utf8(c, out);
    }
  });
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  bool after_letter = false;
  for_each(text, [&](size_t begin, size_t end, char32_t c) {
    if (after_letter) {
      append_small(text, begin, end, out);
    } else {
      append_capital(c, true, out);
    }
    after_letter = is_cased(c);
  });
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for_each(text, [&](size_t begin, size_t end, char32_t c) {
    if (begin == 0) {
      append_capital(c, true, out);
    } else {
      append_small(text, begin, end, out);
    }
  });
  return out;
}

std::string casefold(std::string_view text) {
  std::string out;
  for_each(text, [&](size_t, size_t, char32_t c) {
    utf8proc_int32_t folded[8] = {};
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded, std::size(folded),
                                           UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < n; ++i) append_utf8(static_cast<char32_t>(folded[i]), out);
  });
  return out;
}

bool is_printable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7f;
  const utf8proc_category_t k = category(c);
  return k != UTF8PROC_CATEGORY_CN && (k < UTF8PROC_CATEGORY_ZS || k > UTF8PROC_CATEGORY_CO);
}

bool is_text(TextClass what, std::string_view text) {
  if (text.empty()) return what == TextClass::Ascii || what == TextClass::Printable;
  if (what == TextClass::Title) return is_titled(text);
  bool all = true, cased = false;
  for_each(text, [&](size_t, size_t, char32_t c) {
    all = all && has(what, c);
    cased = cased || is_cased(c);
  });
  if (what == TextClass::Identifier) return all && !(text[0] >= '0' && text[0] <= '9');
  return all && (cased || (what != TextClass::Lower && what != TextClass::Upper));
}

bool is_name_character(char32_t c) {
  if (c < 0x80) return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  const utf8proc_category_t k = category(c);
  return is_letter(c) || k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC ||
         k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_PC;
}

}  // namespace sw::jinja
