// SPDX-License-Identifier: MIT
// The methods of dict, list, tuple and loop, and where natives are found by name. What changes a list or a
// dict is forbidden to templates, so it stands here without a function.
#include <algorithm>
#include <fmt/core.h>

#include "jinja/builtins/native_tables.h"
#include "jinja/values/objects.h"
#include "jinja/values/operations.h"

namespace sw::jinja {
namespace {

template <Kind kind>
Value view_of(Budget&, const Arguments& a) {
  return Value::object<Dict>(&a[0].as<Dict>(), kind);
}

Value get(Budget& budget, const Arguments& a) {
  if (const Value* found = find(budget, a[0].as<Dict>(), a[1])) return *found;
  return a[2].is(Kind::Missing) ? Value::none() : a[2];
}

Value itself(Budget&, const Arguments& a) { return a[0]; }  // a copy of what never changes

Value index_of(Budget& budget, const Arguments& a) {
  const auto items = a[0].as_items();
  const auto found = std::ranges::find_if(items, [&](const Value& v) { return equal(budget, v, a[1]); });
  if (found == items.end()) budget.fail("the value is not in the list");
  return Value(found - items.begin());
}

Value count(Budget& budget, const Arguments& a) {
  return Value(
      std::ranges::count_if(a[0].as_items(), [&](const Value& v) { return equal(budget, v, a[1]); }));
}

Value cycle(Budget& budget, const Arguments& a) {
  if (a.positional.size() < 2) budget.fail("no items for cycling given");
  const auto n = static_cast<int64_t>(a.positional.size() - 1);
  return a[static_cast<size_t>(1 + a[0].as<LoopState>().index0 % n)];
}

Value changed(Budget& budget, const Arguments& a) {
  LoopState& loop = a[0].as<LoopState>();
  const Value now = Value::sequence(Kind::Tuple, budget.copy(a.positional.subspan(1)));
  if (!loop.last_changed.is(Kind::Missing) && equal(budget, loop.last_changed, now)) return Value(false);
  loop.last_changed = now;
  return Value(true);
}

constexpr Native kDictMethods[] = {
    {"items", view_of<Kind::Items>},
    {"keys", view_of<Kind::Keys>},
    {"values", view_of<Kind::Values>},
    {"get", get, "/self key default?"},
    {"copy", itself},
    {"fromkeys", not_offered},
    {"clear"},
    {"pop"},
    {"popitem"},
    {"setdefault"},
    {"update"},
};
constexpr Native kListMethods[] = {
    {"index", index_of, "/self value"},
    {"count", count, "/self value"},
    {"copy", itself},
    {"append"},
    {"clear"},
    {"extend"},
    {"insert"},
    {"pop"},
    {"remove"},
    {"reverse"},
    {"sort"},
};
constexpr Native kTupleMethods[] = {{"index", index_of, "/self value"}, {"count", count, "/self value"}};
constexpr Native kViewMethods[] = {{"isdisjoint", not_offered}, {"mapping", not_offered}};
constexpr Native kRangeMethods[] = {{"count", not_offered},
                                    {"index", not_offered},
                                    {"start", not_offered},
                                    {"stop", not_offered},
                                    {"step", not_offered}};
constexpr Native kIntegerMethods[] = {{"as_integer_ratio", not_offered},
                                      {"bit_count", not_offered},
                                      {"bit_length", not_offered},
                                      {"conjugate", not_offered},
                                      {"denominator", not_offered},
                                      {"from_bytes", not_offered},
                                      {"imag", not_offered},
                                      {"numerator", not_offered},
                                      {"real", not_offered},
                                      {"to_bytes", not_offered}};
constexpr Native kFloatMethods[] = {{"as_integer_ratio", not_offered},
                                    {"conjugate", not_offered},
                                    {"fromhex", not_offered},
                                    {"hex", not_offered},
                                    {"imag", not_offered},
                                    {"is_integer", not_offered},
                                    {"real", not_offered}};
constexpr Native kLoopMethods[] = {{"cycle", cycle, "..."}, {"changed", changed, "..."}};

const Native* find_in(std::span<const Native> natives, std::string_view name) {
  const auto found = std::ranges::find(natives, name, &Native::name);
  return found == natives.end() ? nullptr : &*found;
}

}  // namespace

std::span<const Native> dict_methods() { return kDictMethods; }
std::span<const Native> list_methods() { return kListMethods; }
std::span<const Native> tuple_methods() { return kTupleMethods; }
std::span<const Native> loop_methods() { return kLoopMethods; }

const Native* find_method(Kind kind, std::string_view name) {
  switch (kind) {
    case Kind::Str:
      return find_in(text_methods(), name);
    case Kind::Dict:
      return find_in(dict_methods(), name);
    case Kind::List:
      return find_in(list_methods(), name);
    case Kind::Tuple:
      return find_in(tuple_methods(), name);
    case Kind::Loop:
      return find_in(loop_methods(), name);
    case Kind::Keys:
    case Kind::Items:
      return find_in(kViewMethods, name);
    case Kind::Range:
      return find_in(kRangeMethods, name);
    case Kind::Bool:
    case Kind::Int:
    case Kind::BigInt:
      return find_in(kIntegerMethods, name);
    case Kind::Float:
      return find_in(kFloatMethods, name);
    default:
      return nullptr;
  }
}

const Native* find_filter(std::string_view name) {
  static constexpr Native kOthers[] = {
      {"filesizeformat", not_offered}, {"groupby", not_offered},   {"pprint", not_offered},
      {"random", not_offered},         {"striptags", not_offered}, {"urlencode", not_offered},
      {"urlize", not_offered},         {"wordwrap", not_offered},  {"xmlattr", not_offered}};
  for (const auto natives :
       {text_filters(), item_filters(), lazy_filters(), order_filters(), number_filters()}) {
    if (const Native* found = find_in(natives, name)) return found;
  }
  return find_in(kOthers, name);
}

const Native* find_test(std::string_view name) { return find_in(value_tests(), name); }

}  // namespace sw::jinja
