// SPDX-License-Identifier: MIT
#include "jinja/values/big_integer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <limits>

namespace sw::jinja {
namespace {

/// A sign of -1, 0 or 1 and the digits of the magnitude, without leading zeros.
struct Decimal {
  int sign = 0;
  std::string digits = {};
};

Decimal magnitude(std::string_view decimal) {
  Decimal result{.sign = decimal.starts_with('-') ? -1 : 1};
  decimal.remove_prefix(std::min(decimal.find_first_of("0123456789"), decimal.size()));
  decimal.remove_prefix(std::min(decimal.find_first_not_of('0'), decimal.size()));
  if (decimal.empty()) result.sign = 0;
  result.digits = decimal;
  return result;
}

/// Of a finite number, cut to its whole part.
Decimal magnitude(const Value& number) {
  return magnitude(number.is(Kind::Float) ? fmt::format("{:.0f}", std::trunc(number.as_number()))
                                          : decimal_digits(number));
}

std::optional<int64_t> small_integer(std::string_view decimal) {
  int64_t small = 0;
  const char* const end = decimal.data() + decimal.size();
  const auto result = std::from_chars(decimal.data() + decimal.starts_with('+'), end, small);
  return result.ec == std::errc() && result.ptr == end ? std::optional(small) : std::nullopt;
}

}  // namespace

Value integer_value(Budget& budget, std::string_view decimal) {
  if (const auto small = small_integer(decimal)) return Value(*small);
  if (decimal.size() > kMaxDigits) budget.fail(fmt::format("an integer of more than {} digits", kMaxDigits));
  const Decimal number = magnitude(decimal);
  const std::string digits = (number.sign < 0 ? "-" : "") + number.digits;
  return Value::object<BigInteger>(budget.make(BigInteger{budget.copy(digits)}));
}

Value integer_value(Budget& budget, Int128 value) {
  const auto small = static_cast<int64_t>(value);
  return small == value ? Value(small) : integer_value(budget, fmt::format("{}", value));
}

Value integer_value(Budget& budget, double whole) {
  return integer_value(budget, fmt::format("{:.0f}", std::trunc(whole)));
}

std::optional<Int128> as_int128(const Value& integer) {
  if (!integer.is(Kind::BigInt)) return integer.as_integer();
  const std::string_view digits = integer.as<BigInteger>().digits;
  const bool negative = digits.starts_with('-');
  Int128 value = 0;
  for (const char c : digits.substr(negative)) {
    if (__builtin_mul_overflow(value, Int128{10}, &value)) return {};
    if (__builtin_sub_overflow(value, Int128{c - '0'}, &value)) return {};  // below zero there is one more
  }
  if (negative) return value;
  if (__builtin_sub_overflow(Int128{0}, value, &value)) return {};
  return value;
}

std::string decimal_digits(const Value& integer) {
  return integer.is(Kind::BigInt) ? std::string(integer.as<BigInteger>().digits)
                                  : fmt::format("{}", integer.as_integer());
}

double as_float(const Budget& budget, const Value& number) {
  if (!number.is(Kind::BigInt)) return number.as_number();
  const double value = std::strtod(std::string(number.as<BigInteger>().digits).c_str(), nullptr);
  if (std::isinf(value)) budget.fail("int too large to convert to float");
  return value;
}

int compare_numbers(const Value& a, const Value& b) {
  if (!a.is(Kind::BigInt) && !b.is(Kind::BigInt)) {
    // long double holds an int64_t as well as a double.
    const auto exact = [](const Value& v) {
      return v.is(Kind::Float) ? static_cast<long double>(v.as_number())
                               : static_cast<long double>(v.as_integer());
    };
    const long double x = exact(a), y = exact(b);
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
  }
  const auto not_finite = [](const Value& v) { return v.is(Kind::Float) && !std::isfinite(v.as_number()); };
  if (not_finite(a)) return std::isnan(a.as_number()) ? 2 : a.as_number() > 0 ? 1 : -1;
  if (not_finite(b)) return std::isnan(b.as_number()) ? 2 : b.as_number() > 0 ? -1 : 1;
  // Beside a BigInt, what a float has behind the point decides nothing.
  const Decimal x = magnitude(a), y = magnitude(b);
  if (x.sign != y.sign) return x.sign < y.sign ? -1 : 1;
  const size_t n_x = x.digits.size(), n_y = y.digits.size();
  const int order = n_x != n_y ? (n_x < n_y ? -1 : 1) : x.digits.compare(y.digits);
  return order == 0 ? 0 : order < 0 ? -x.sign : x.sign;
}

}  // namespace sw::jinja
