// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "jinja/values/budget.h"
#include "jinja/values/value.h"

/// Integers of any size, as Python's int: those that int64_t does not hold are kept as their digits.
/// Arithmetic is exact up to 128 bits, and refused beyond.
namespace sw::jinja {

/// Decimal digits without leading zeros, behind a minus sign where the integer is negative.
struct BigInteger {
  std::string_view digits = {};
};

using Int128 = __int128;
constexpr size_t kMaxDigits = 4300;  // Python's limit

/// An Int, or a BigInt whose digits are the Budget's. `decimal`: digits, perhaps behind one sign; `whole`:
/// finite, of which what is behind the point is cut off. Throws sw::Error where there are more than
/// kMaxDigits.
Value integer_value(Budget& budget, std::string_view decimal);
Value integer_value(Budget& budget, Int128 value);
Value integer_value(Budget& budget, double whole);

// Of an Int, Bool or BigInt:
/// Nothing beyond 128 bits.
std::optional<Int128> as_int128(const Value& integer);
std::string decimal_digits(const Value& integer);

/// Of any number, as float() rounds it; throws sw::Error where it is too large.
double as_float(const Budget& budget, const Value& number);
/// -1, 0, 1; 2 where one is NaN. Exact, whatever the types of the two numbers.
int compare_numbers(const Value& a, const Value& b);

}  // namespace sw::jinja
