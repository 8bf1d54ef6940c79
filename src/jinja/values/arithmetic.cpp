// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/core.h>
#include <limits>
#include <optional>

#include "jinja/values/big_integer.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"
#include "text/escape_html.h"

namespace sw::jinja {
namespace {

constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

[[noreturn]] void fail_types(const Budget& budget, Arithmetic op, const Value& a, const Value& b) {
  if (a.is(Kind::Undefined)) fail_undefined(budget, a);
  if (b.is(Kind::Undefined)) fail_undefined(budget, b);
  budget.fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'",
                          kSigns[static_cast<size_t>(op)], type_name(a.kind()), type_name(b.kind())));
}

[[noreturn]] void fail_overflow(const Budget& budget) { budget.fail("an integer grows beyond 128 bits"); }

[[noreturn]] void fail_zero(const Budget& budget) { budget.fail("division by zero"); }

Int128 floor_divide(Budget& budget, Int128 a, Int128 b) {
  if (b == 0) fail_zero(budget);
  if (a == std::numeric_limits<Int128>::min() && b == -1) fail_overflow(budget);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/// The double next to a / b, where both have 64 bits at most.
double true_divide(Budget& budget, Int128 a, Int128 b) {
  if (b == 0) fail_zero(budget);
  using Unsigned = unsigned __int128;
  constexpr int kBits = 64;
  Unsigned x = static_cast<Unsigned>(a < 0 ? -a : a);
  const Unsigned y = static_cast<Unsigned>(b < 0 ? -b : b);
  if (x >> kBits || y >> kBits) budget.fail("a division of integers beyond 64 bits");
  if (x == 0) return b < 0 ? -0.0 : 0.0;
  // So that the quotient has 63 bits at least: the last of them then says whether a rest is left.
  const int shift =
      std::countl_zero(static_cast<uint64_t>(x)) + kBits - 1 - std::countl_zero(static_cast<uint64_t>(y));
  x <<= shift;
  const Unsigned quotient = x / y | (x % y != 0);
  const double magnitude = std::ldexp(static_cast<double>(quotient), -shift);
  return (a < 0) != (b < 0) ? -magnitude : magnitude;
}

Int128 integer_power(Budget& budget, Int128 base, Int128 exponent) {
  Int128 result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) fail_overflow(budget);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow(budget);
  }
  return result;
}

/// fmod goes bit by bit through the difference of the exponents.
double float_modulo(Budget& budget, double a, double b) {
  if (std::isnormal(a) && b != 0) budget.spend(std::max(std::ilogb(a) - std::ilogb(b), 0));
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

double float_floor_divide(Budget& budget, double a, double b) {
  const double quotient = (a - float_modulo(budget, a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

double float_power(Budget& budget, double a, double b) {
  if (a == 0 && b < 0) budget.fail("0.0 cannot be raised to a negative power");
  const double result = std::pow(a, b);
  if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) budget.fail("a power is no real number");
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) budget.fail("a power is too large");
  return result;
}

Value of_integers(Budget& budget, Arithmetic op, const Value& left, const Value& right) {
  const std::optional<Int128> wide_left = as_int128(left), wide_right = as_int128(right);
  if (!wide_left || !wide_right) fail_overflow(budget);
  const Int128 a = *wide_left, b = *wide_right;
  Int128 result = 0;
  bool overflow = false;
  switch (op) {
    case Arithmetic::Add:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Arithmetic::Subtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Arithmetic::Multiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Arithmetic::Divide:
      return Value(true_divide(budget, a, b));
    case Arithmetic::FloorDivide:
      result = floor_divide(budget, a, b);
      break;
    case Arithmetic::Modulo:
      result = b == -1 ? 0 : a - floor_divide(budget, a, b) * b;
      break;
    case Arithmetic::Power:
      if (b < 0) return Value(float_power(budget, as_float(budget, left), as_float(budget, right)));
      result = integer_power(budget, a, b);
      break;
  }
  if (overflow) fail_overflow(budget);
  return integer_value(budget, result);
}

Value of_floats(Budget& budget, Arithmetic op, double a, double b) {
  const bool divides = op == Arithmetic::Divide || op == Arithmetic::FloorDivide || op == Arithmetic::Modulo;
  if (divides && b == 0) fail_zero(budget);
  switch (op) {
    case Arithmetic::Add:
      return Value(a + b);
    case Arithmetic::Subtract:
      return Value(a - b);
    case Arithmetic::Multiply:
      return Value(a * b);
    case Arithmetic::Divide:
      return Value(a / b);
    case Arithmetic::FloorDivide:
      return Value(float_floor_divide(budget, a, b));
    case Arithmetic::Modulo:
      return Value(float_modulo(budget, a, b));
    case Arithmetic::Power:
      return Value(float_power(budget, a, b));
  }
  return {};
}

/// Where one is Markup, the other is escaped.
Value add_texts(Budget& budget, const Value& a, const Value& b) {
  const bool markup = a.is_markup() || b.is_markup();
  if (!markup) return budget.concat(a.as_text(), b.as_text());
  const auto safe = [](const Value& v) {
    return v.is_markup() ? std::string(v.as_text()) : escape_html(v.as_text());
  };
  return budget.concat(safe(a), safe(b), true);
}

Value add_sequences(Budget& budget, const Value& a, const Value& b) {
  const auto x = a.as_items(), y = b.as_items();
  const std::span<Value> all = budget.make_array<Value>(x.size() + y.size());
  std::copy(y.begin(), y.end(), std::copy(x.begin(), x.end(), all.begin()));
  return Value::sequence(a.kind(), all);
}

Value repeat(Budget& budget, const Value& value, const Value& times) {
  if (times.is(Kind::BigInt)) budget.fail("nothing can be repeated so often: an integer beyond 64 bits");
  const auto n = static_cast<size_t>(std::max<int64_t>(times.as_integer(), 0));
  if (value.is(Kind::Str)) {
    const std::string_view text = value.as_text();
    if (n > 0 && text.size() > kMaxOutputBytes / n) budget.fail("a repeated text is too long");
    TextBuilder out(budget);
    for (size_t i = 0; i < n && !text.empty(); ++i) budget.spend(), out.add(text);
    return out.value(value.is_markup());
  }
  const std::span<const Value> items = value.as_items();
  if (items.empty() || n == 0) return Value::sequence(value.kind(), {});
  if (n > kMaxMemoryBytes / sizeof(Value) / items.size()) budget.fail("a repeated list is too long");
  const std::span<Value> all = budget.make_array<Value>(items.size() * n);
  for (size_t i = 0; i < n; ++i)
    std::copy(items.begin(), items.end(), all.begin() + static_cast<long>(i * items.size()));
  return Value::sequence(value.kind(), all);
}

}  // namespace

Value arithmetic(Budget& budget, Arithmetic op, const Value& a, const Value& b) {
  if (is_integer(a) && is_integer(b)) return of_integers(budget, op, a, b);
  if (is_number(a) && is_number(b)) return of_floats(budget, op, as_float(budget, a), as_float(budget, b));
  if (op == Arithmetic::Add) {
    if (a.is(Kind::Str) && b.is(Kind::Str)) return add_texts(budget, a, b);
    if (is_sequence(a) && a.kind() == b.kind()) return add_sequences(budget, a, b);
    if (a.is(Kind::Str) && !b.is(Kind::Undefined)) {
      budget.fail(fmt::format("can only concatenate str (not \"{}\") to str", type_name(b.kind())));
    }
  } else if (op == Arithmetic::Multiply) {
    const auto repeats = [](const Value& v, const Value& n) {
      return (v.is(Kind::Str) || is_sequence(v)) && is_integer(n);
    };
    if (repeats(a, b)) return repeat(budget, a, b);
    if (repeats(b, a)) return repeat(budget, b, a);
  } else if (op == Arithmetic::Modulo && a.is(Kind::Str)) {
    return format_percent(budget, a, b);
  }
  fail_types(budget, op, a, b);
}

Value negate(Budget& budget, const Value& value) {
  if (value.is(Kind::Undefined)) fail_undefined(budget, value);
  if (value.is(Kind::Float)) return Value(-value.as_number());
  if (!is_integer(value))
    budget.fail(fmt::format("bad operand type for unary -: '{}'", type_name(value.kind())));
  return of_integers(budget, Arithmetic::Subtract, Value(0), value);
}

}  // namespace sw::jinja
