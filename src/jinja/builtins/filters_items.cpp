// SPDX-License-Identifier: MIT
// Filters of lists, dicts and whatever else can be iterated.
#include <fmt/core.h>

#include "jinja/builtins/native_tables.h"
#include "jinja/values/iterator.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

Value length_of(Budget& budget, const Arguments& a) {
  const std::optional<int64_t> n = length(a[0]);
  if (!n) budget.fail(fmt::format("object of type '{}' has no len()", type_name(a[0].kind())));
  if (a[0].is(Kind::Str)) budget.spend_bytes(a[0].as_text().size());
  return Value(*n);
}

Value first(Budget& budget, const Arguments& a) {
  Iterator iterator(budget, a[0]);
  Value item;
  return iterator.next(budget, item) ? item : Value::undefined({"No first item, sequence was empty."});
}

Value last(Budget& budget, const Arguments& a) {
  if (a[0].is(Kind::Generator)) budget.fail("'generator' object is not reversible");
  const std::vector<Value> items = to_vector(budget, a[0]);
  return items.empty() ? Value::undefined({"No last item, sequence was empty."}) : items.back();
}

Value list(Budget& budget, const Arguments& a) { return to_list(budget, a[0]); }

Value join(Budget& budget, const Arguments& a) {
  const std::string_view separator = a[1].is(Kind::Missing) ? "" : to_text(budget, a[1]);
  const AttributePath path(budget, a[2]);
  TextBuilder out(budget);
  Iterator iterator(budget, a[0]);
  bool first_item = true;
  for (Value item; iterator.next(budget, item);) {
    if (!std::exchange(first_item, false)) out.add(separator);
    append_text(out, path.get(budget, item));
  }
  return out.value();
}

Value otherwise(Budget&, const Arguments& a) {
  const bool replaced = a[0].is(Kind::Undefined) || (is_true(a[2]) && !is_true(a[0]));
  if (!replaced) return a[0];
  return a[1].is(Kind::Missing) ? Value::text("") : a[1];
}

Value sum(Budget& budget, const Arguments& a) {
  const AttributePath path(budget, a[1]);
  Value total = a[2].is(Kind::Missing) ? Value(0) : a[2];
  if (total.is(Kind::Str)) budget.fail("sum() can't sum strings");
  Iterator iterator(budget, a[0]);
  for (Value item; iterator.next(budget, item);) {
    total = arithmetic(budget, Arithmetic::Add, total, path.get(budget, item));
  }
  return total;
}

Value attribute(Budget& budget, const Arguments& a) {
  const std::string_view name = text_argument(budget, a[1]);
  if (a[0].is(Kind::Undefined)) fail_undefined(budget, a[0]);
  // A dict's entries are no attributes.
  const bool has_it = !a[0].is(Kind::Dict) || find_method(Kind::Dict, name);
  return has_it ? get_attribute(budget, a[0], name) : Value::undefined({name, a[0].kind()});
}

constexpr Native kFilters[] = {
    {"length", length_of},
    {"count", length_of},
    {"first", first},
    {"last", last},
    {"list", list},
    {"join", join, "value d? attribute?"},
    {"default", otherwise, "value default_value? boolean?"},
    {"d", otherwise, "value default_value? boolean?"},
    {"sum", sum, "value attribute? start?"},
    {"attr", attribute, "value name"},
};

}  // namespace

AttributePath::AttributePath(Budget& budget, const Value& path) {
  if (path.is(Kind::Missing, Kind::None)) return;
  std::vector<Value> parts;
  if (path.is(Kind::Str)) {
    for (const std::string_view part : split(path.as_text(), ".", -1)) {
      const bool number =
          part.size() < 10 && is_text(TextClass::Digit, part) && is_text(TextClass::Ascii, part);
      parts.push_back(number ? Value(std::stol(std::string(part))) : Value::text(part));
    }
  } else {
    parts.push_back(path);
  }
  parts_ = budget.copy(parts);
}

Value AttributePath::get(Budget& budget, const Value& item, const Value& otherwise) const {
  const bool has_other = !otherwise.is(Kind::Missing, Kind::None);
  Value value = item;
  for (const Value& part : parts_) {
    value = get_item(budget, value, part);
    if (has_other && value.is(Kind::Undefined)) value = otherwise;
  }
  return value;
}

Value ignore_case(Budget& budget, const Value& value) {
  if (!value.is(Kind::Str)) return value;
  budget.spend_letters(value.as_text().size());
  return budget.text(to_lower(value.as_text()), value.is_markup());
}

std::span<const Native> item_filters() { return kFilters; }

}  // namespace sw::jinja
