// SPDX-License-Identifier: MIT
// Filters that make numbers of what they get, or work on numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fmt/core.h>
#include <limits>
#include <string>

#include "jinja/builtins/native_tables.h"
#include "jinja/values/big_integer.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

/// Digits without the underscores that Python allows between them; empty where it allows them not.
std::string without_underscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !std::isalnum(static_cast<unsigned char>(text[i - 1])) ||
               !std::isalnum(static_cast<unsigned char>(text[i + 1]))) {
      return "";
    }
  }
  return out;
}

/// int(text, base); nothing where the text is no integer.
std::optional<Value> parse_integer(Budget& budget, std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return {};
  text = strip(text, {});
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const char marker = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  const int marked = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 0;
  if (marked && (base == 0 || base == marked)) text.remove_prefix(text[2] == '_' ? 3 : 2);
  if (base == 0) {
    base = marked ? marked : 10;
    if (!marked && text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != text.npos) return {};
  }
  const std::string digits = without_underscores(text);
  uint64_t magnitude = 0;
  const char* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, magnitude, static_cast<int>(base));
  if (digits.empty() || at != end) return {};
  if (base == 10) return integer_value(budget, (negative ? "-" : "") + digits);
  if (error != std::errc()) budget.fail("an integer beyond 64 bits of another base than 10");
  return integer_value(budget, negative ? -Int128{magnitude} : Int128{magnitude});
}

/// float(text)
std::optional<double> parse_float(std::string_view text) {
  text = strip(text, {});
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const std::string digits = without_underscores(text);
  const bool begins_well = !digits.empty() && digits[0] != '-' && digits.find('(') == digits.npos;
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, value);
  if (!begins_well || at != end) return {};
  if (error == std::errc::result_out_of_range) {  // from_chars leaves the value alone then
    const bool tiny =
        digits.find("e-") != digits.npos || digits.find("E-") != digits.npos || digits[0] == '0';
    value = tiny ? 0.0 : std::numeric_limits<double>::infinity();
  }
  return negative ? -value : value;
}

/// int(number), which cuts; nothing for what has no integer.
std::optional<Value> truncated(Budget& budget, double value) {
  if (!std::isfinite(value)) return {};
  return integer_value(budget, value);
}

Value to_integer(Budget& budget, const Arguments& a) {
  if (a[0].is(Kind::Undefined)) fail_undefined(budget, a[0]);
  if (a[0].is(Kind::BigInt)) return a[0];
  if (is_integer(a[0])) return Value(a[0].as_integer());
  const Value otherwise = a[1].is(Kind::Missing) ? Value(0) : a[1];
  std::optional<Value> result;
  if (a[0].is(Kind::Float)) {
    if (std::isinf(a[0].as_number())) budget.fail("cannot convert float infinity to integer");
    result = truncated(budget, a[0].as_number());
  } else if (a[0].is(Kind::Str)) {
    budget.spend(static_cast<int64_t>(a[0].as_text().size() / 2));
    result = parse_integer(budget, a[0].as_text(), integer_argument(budget, a[2], 10));
    if (!result) {  // "42.23" is 42
      if (const auto number = parse_float(a[0].as_text())) result = truncated(budget, *number);
    }
  }
  return result.value_or(otherwise);
}

Value to_float(Budget& budget, const Arguments& a) {
  if (a[0].is(Kind::Undefined)) fail_undefined(budget, a[0]);
  if (is_number(a[0])) return Value(as_float(budget, a[0]));
  if (a[0].is(Kind::Str)) {
    budget.spend(static_cast<int64_t>(a[0].as_text().size() / 2));
    if (const auto number = parse_float(a[0].as_text())) return Value(*number);
  }
  return a[1].is(Kind::Missing) ? Value(0.0) : a[1];
}

Value absolute(Budget& budget, const Arguments& a) {
  if (a[0].is(Kind::Float)) return Value(std::fabs(a[0].as_number()));
  if (a[0].is(Kind::Undefined)) fail_undefined(budget, a[0]);
  if (!is_integer(a[0])) budget.fail(fmt::format("bad operand type for abs(): '{}'", type_name(a[0].kind())));
  if (compare_numbers(a[0], Value(0)) < 0) return negate(budget, a[0]);
  return a[0].is(Kind::Bool) ? Value(a[0].as_integer()) : a[0];
}

/// Half to even of the exact decimal value, as Python rounds: printf does the same.
double round_float(double value, int64_t precision) {
  constexpr double kWhole = 4503599627370496;  // 2^52: from here on nothing is left behind the point
  if (!std::isfinite(value) || precision > 300 || (precision >= 0 && std::fabs(value) >= kWhole))
    return value;
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(std::min<int64_t>(-precision, 400)));
    return std::isinf(scale) ? std::copysign(0.0, value) : std::nearbyint(value / scale) * scale;
  }
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
  return std::strtod(buffer, nullptr);
}

/// Half to even at 10^digits.
Value round_integer(Budget& budget, int64_t value, int64_t digits) {
  if (digits > 18) return Value(0);
  int64_t scale = 1;
  for (int64_t i = 0; i < digits; ++i) scale *= 10;
  const int64_t rest = ((value % scale) + scale) % scale, below = value - rest;
  const bool even = below / scale % 2 == 0;
  const bool up = rest > scale - rest || (rest == scale - rest && rest > 0 && !even);
  return up ? arithmetic(budget, Arithmetic::Add, Value(below), Value(scale)) : Value(below);
}

Value round_number(Budget& budget, const Arguments& a) {
  const std::string_view method = text_argument(budget, a[2], "common");
  if (method != "common" && method != "ceil" && method != "floor") {
    budget.fail("method must be common, ceil or floor");
  }
  if (a[0].is(Kind::Undefined)) fail_undefined(budget, a[0]);
  if (!is_number(a[0])) budget.fail("round() needs a number");
  const int64_t precision = std::clamp<int64_t>(integer_argument(budget, a[1], 0), -1000, 1000);
  if (method == "common") {
    budget.spend(std::max<int64_t>(precision, 0));
    if (!is_integer(a[0])) return Value(round_float(a[0].as_number(), precision));
    if (precision < 0) return round_integer(budget, integer_argument(budget, a[0], 0), -precision);
    return a[0].is(Kind::Bool) ? Value(a[0].as_integer()) : a[0];
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = as_float(budget, a[0]) * scale;
  if (!std::isfinite(scaled)) budget.fail("round() of a number that is too large");
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale + 0.0);  // never -0.0
}

constexpr Native kFilters[] = {
    {"int", to_integer, "value default? base?"},
    {"float", to_float, "value default?"},
    {"abs", absolute},
    {"round", round_number, "value precision? method?"},
};

}  // namespace

std::span<const Native> number_filters() { return kFilters; }

}  // namespace sw::jinja
