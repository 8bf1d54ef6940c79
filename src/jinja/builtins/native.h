// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "jinja/values/budget.h"
#include "jinja/values/value.h"

/// Filters, tests, methods and functions: what a template can call that it did not define.
namespace sw::jinja {

struct Keyword {
  std::string_view name = {};
  Value value = {};
};

/// Views; a function that keeps them beyond the call copies them.
struct Arguments {
  std::span<const Value> positional = {};
  std::span<const Keyword> keywords = {};

  const Value& operator[](size_t i) const { return positional[i]; }
};

struct Native {
  std::string_view name = {};
  /// Null: Python has it, but forbids templates to use it.
  Value (*call)(Budget&, const Arguments&) = nullptr;
  /// "value width? fill?": the call gets exactly these, Missing where an optional one was not given, and no
  /// keywords. "...": the call gets all as it was written. A filter's or method's own value comes first. In
  /// front, "/" says that the arguments cannot be given by name, as Python has it for most methods.
  std::string_view parameters = "value";
};

/// The function of what Python or Jinja has and templates here have not: its calls are refused by name.
Value not_offered(Budget& budget, const Arguments&);

/// Calls with `self`, where it is not Missing, in front of the arguments.
Value call_native(Budget& budget, const Native& native, const Value& self, const Arguments& arguments);

/// Null where there is none of that name.
const Native* find_filter(std::string_view name);
const Native* find_test(std::string_view name);
const Native* find_method(Kind kind, std::string_view name);
/// range, dict and the like, in no order.
std::span<const Native> global_functions();

/// value.name, value[key], value[start:stop:step] (None or Missing: not given).
Value get_attribute(Budget& budget, const Value& value, std::string_view name);
Value get_item(Budget& budget, const Value& value, const Value& key);
Value get_slice(Budget& budget, const Value& value, const Value& start, const Value& stop, const Value& step);

/// Arguments of native calls; each fails with the call's name where the type is wrong, and gives `otherwise`
/// for Missing.
int64_t integer_argument(Budget& budget, const Value& value, int64_t otherwise);
std::string_view text_argument(Budget& budget, const Value& value, std::string_view otherwise = {});
/// Missing and None: nothing.
std::optional<std::string_view> optional_text(Budget& budget, const Value& value);

}  // namespace sw::jinja
