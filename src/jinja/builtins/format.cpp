// SPDX-License-Identifier: MIT
#include "jinja/builtins/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fmt/core.h>

#include "base/error.h"
#include "jinja/values/big_integer.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

/// `body` with its sign and prefix (`head`) in front, filled to the width.
std::string fill(const FormatSpec& spec, char usual_align, const std::string& head, const std::string& body) {
  const size_t n = text_length(head) + text_length(body);
  const size_t width = static_cast<size_t>(spec.width);
  const char align = spec.align ? spec.align : usual_align;
  const size_t n_fill = width > n ? width - n : 0;
  const size_t n_left = align == '<' ? 0 : align == '^' ? n_fill / 2 : n_fill;
  std::string left, right;
  for (size_t i = 0; i < n_fill; ++i) (i < n_left ? left : right) += spec.fill;
  return align == '=' ? head + left + body : left + head + body + right;
}

std::string integer_digits(Budget& budget, std::string_view decimal, char type) {
  if (type == 0 || type == 'd' || type == 'n') return std::string(decimal);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(decimal.data(), decimal.data() + decimal.size(), value);
  if (error != std::errc()) budget.fail(fmt::format("an integer beyond 64 bits in the format '{}'", type));
  switch (type) {
    case 'x':
      return fmt::format("{:x}", value);
    case 'X':
      return fmt::format("{:X}", value);
    case 'o':
      return fmt::format("{:o}", value);
    default:
      return fmt::format("{:b}", value);
  }
}

std::string float_digits(double value, char type, int precision, bool alternate) {
  if (!std::isfinite(value)) {
    const bool capitals = type == 'E' || type == 'F' || type == 'G';
    return std::isnan(value) ? (capitals ? "NAN" : "nan") : (capitals ? "INF" : "inf");
  }
  const std::string format = std::string(alternate ? "%#.*" : "%.*") + type;
  char buffer[800];  // 309 digits before the point, kMaxFormatPrecision behind it
  const int n = std::snprintf(buffer, sizeof buffer, format.c_str(), precision, value);
  return {buffer, static_cast<size_t>(n)};
}

void group_thousands(std::string& digits, char separator) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t at = whole; at > 3;) digits.insert(at -= 3, 1, separator);
}

bool is_float_type(char type) {
  return type != 0 && std::string_view("eEfFgG%").find(type) != std::string_view::npos;
}

std::string sign_of(const FormatSpec& spec, bool negative) {
  return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string format_float(const FormatSpec& spec, double value) {
  const bool percent = spec.type == '%';
  const double magnitude = std::fabs(value) * (percent ? 100 : 1);
  std::string digits;
  if (spec.type == 0 && spec.precision < 0) {
    digits = float_repr(magnitude);
  } else {
    const char type = percent ? 'f' : spec.type == 0 ? 'g' : spec.type;
    digits = float_digits(magnitude, type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
    const bool plain = digits.find_first_of(".en") == digits.npos;
    if (spec.type == 0 && plain) digits += ".0";
  }
  if (percent) digits += '%';
  if (spec.grouping) group_thousands(digits, spec.grouping);
  return fill(spec, '>', sign_of(spec, std::signbit(value)), digits);
}

/// Of an integer's decimal digits, which may be too many for other bases.
std::string format_integer(Budget& budget, const FormatSpec& spec, std::string_view decimal) {
  const bool negative = decimal.starts_with('-');
  std::string digits = integer_digits(budget, decimal.substr(negative), spec.type);
  const auto least = static_cast<size_t>(std::max(spec.precision, 0));
  if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
  if (spec.grouping) group_thousands(digits, spec.grouping);
  std::string head = sign_of(spec, negative);
  const bool has_prefix =
      spec.alternate && spec.type && std::string_view("xXob").find(spec.type) != std::string_view::npos;
  if (has_prefix) head += {'0', spec.type};
  return fill(spec, '>', head, digits);
}

}  // namespace

std::string format_number(Budget& budget, const FormatSpec& spec, const Value& value) {
  if (!is_number(value))
    budget.fail(fmt::format("format code '{}' needs a number, not {}", spec.type, type_name(value.kind())));
  if (is_float_type(spec.type) || (value.is(Kind::Float) && spec.type == 0)) {
    std::string text = format_float(spec, as_float(budget, value));
    budget.spend(kFloatReprCost + static_cast<int64_t>(4 * text.size()));
    return text;
  }
  const bool known = spec.type == 0 || std::string_view("dxXobn").find(spec.type) != std::string_view::npos;
  if (!known || value.is(Kind::Float)) {
    budget.fail(fmt::format("unknown format code '{}' for {}", printable(std::string(1, spec.type)),
                            type_name(value.kind())));
  }
  return format_integer(budget, spec, decimal_digits(value));
}

std::string format_text(const FormatSpec& spec, std::string_view text) {
  if (spec.precision >= 0) text = text.substr(0, byte_offset(text, static_cast<size_t>(spec.precision)));
  return fill(spec, '<', "", std::string(text));
}

}  // namespace sw::jinja
