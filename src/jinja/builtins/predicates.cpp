// SPDX-License-Identifier: MIT
// Tests: what may stand behind `is`.
#include <fmt/core.h>

#include "jinja/builtins/native_tables.h"
#include "jinja/values/iterator.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

template <bool (*test)(const Value&)>
Value check(Budget&, const Arguments& a) {
  return Value(test(a[0]));
}

bool is_defined(const Value& v) { return !v.is(Kind::Undefined); }
bool is_not_defined(const Value& v) { return v.is(Kind::Undefined); }
template <Kind kind>
bool is_a(const Value& v) {
  return v.is(kind);
}
bool is_whole(const Value& v) { return v.is(Kind::Int, Kind::BigInt); }
bool is_yes(const Value& v) { return v.is(Kind::Bool) && v.as_integer(); }
bool is_no(const Value& v) { return v.is(Kind::Bool) && !v.as_integer(); }
bool has_markup(const Value& v) { return v.is_markup(); }
bool is_indexable(const Value& v) {
  return v.is(Kind::Undefined, Kind::Str, Kind::Dict, Kind::Range) || is_sequence(v);
}
bool is_callable(const Value& v) {
  return v.is(Kind::Undefined, Kind::Macro, Kind::Method, Kind::Function, Kind::Loop);
}

/// value % divisor == wanted
Value leaves(Budget& budget, const Value& value, const Value& divisor, int64_t wanted) {
  const Value rest = arithmetic(budget, Arithmetic::Modulo, value, divisor);
  return Value(equal(budget, rest, Value(wanted)));
}

Value odd(Budget& budget, const Arguments& a) { return leaves(budget, a[0], Value(2), 1); }
Value even(Budget& budget, const Arguments& a) { return leaves(budget, a[0], Value(2), 0); }
Value divisible(Budget& budget, const Arguments& a) { return leaves(budget, a[0], a[1], 0); }

template <TextClass what>
Value is_cased(Budget& budget, const Arguments& a) {
  // Python's text of these has an address, but no capitals.
  if (a[0].is(Kind::Generator, Kind::Method)) return Value(what == TextClass::Lower);
  const std::string_view text = to_text(budget, a[0]);
  budget.spend_letters(text.size());
  return Value(is_text(what, text));
}

Value equals(Budget& budget, const Arguments& a) { return Value(equal(budget, a[0], a[1])); }
Value differs(Budget& budget, const Arguments& a) { return Value(!equal(budget, a[0], a[1])); }
template <Order order>
Value ordered(Budget& budget, const Arguments& a) {
  return Value(compare(budget, order, a[0], a[1]));
}

Value is_in(Budget& budget, const Arguments& a) { return Value(contains(budget, a[1], a[0])); }

/// Python's `is`: the same object, which equal small values are.
Value same(Budget& budget, const Arguments& a) {
  const bool plain = is_number(a[0]) || a[0].is(Kind::None, Kind::Str);
  if (a[0].is(Kind::List) && a[1].is(Kind::List) && a[0].as_items().empty() && a[1].as_items().empty())
    budget.fail("whether two empty lists are the same object cannot be told here");
  return Value(a[0].kind() == a[1].kind() && (plain ? equal(budget, a[0], a[1]) : a[0].same_object(a[1])));
}

template <const Native* (*find_native)(std::string_view)>
Value is_name_of(Budget& budget, const Arguments& a) {
  if (!is_hashable(a[0])) budget.fail(fmt::format("unhashable type: '{}'", type_name(a[0].kind())));
  return Value(a[0].is(Kind::Str) && find_native(a[0].as_text()) != nullptr);
}

constexpr std::string_view kOther = "value other";

constexpr Native kTests[] = {
    {"defined", check<is_defined>},
    {"undefined", check<is_not_defined>},
    {"none", check<is_a<Kind::None>>},
    {"boolean", check<is_a<Kind::Bool>>},
    {"true", check<is_yes>},
    {"false", check<is_no>},
    {"integer", check<is_whole>},
    {"float", check<is_a<Kind::Float>>},
    {"number", check<is_number>},
    {"string", check<is_a<Kind::Str>>},
    {"mapping", check<is_a<Kind::Dict>>},
    {"sequence", check<is_indexable>},
    {"iterable", check<is_iterable>},
    {"callable", check<is_callable>},
    {"escaped", check<has_markup>},
    {"odd", odd},
    {"even", even},
    {"divisibleby", divisible, "value num"},
    {"lower", is_cased<TextClass::Lower>},
    {"upper", is_cased<TextClass::Upper>},
    {"in", is_in, "value seq"},
    {"sameas", same, kOther},
    {"filter", is_name_of<find_filter>},
    {"test", is_name_of<find_test>},
    {"==", equals, kOther},
    {"eq", equals, kOther},
    {"equalto", equals, kOther},
    {"!=", differs, kOther},
    {"ne", differs, kOther},
    {">", ordered<Order::Greater>, kOther},
    {"gt", ordered<Order::Greater>, kOther},
    {"greaterthan", ordered<Order::Greater>, kOther},
    {">=", ordered<Order::GreaterEqual>, kOther},
    {"ge", ordered<Order::GreaterEqual>, kOther},
    {"<", ordered<Order::Less>, kOther},
    {"lt", ordered<Order::Less>, kOther},
    {"lessthan", ordered<Order::Less>, kOther},
    {"<=", ordered<Order::LessEqual>, kOther},
    {"le", ordered<Order::LessEqual>, kOther},
};

}  // namespace

std::span<const Native> value_tests() { return kTests; }

}  // namespace sw::jinja
