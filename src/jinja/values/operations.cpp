// SPDX-License-Identifier: MIT
#include "jinja/values/operations.h"

#include <algorithm>
#include <fmt/core.h>

#include "jinja/values/big_integer.h"
#include "jinja/values/iterator.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

bool equal_items(Budget& budget, std::span<const Value> a, std::span<const Value> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(budget, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Budget& budget, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const DictEntry& entry : a.entries) {
    const Value* other = find(budget, b, entry.key);
    if (!other || !equal(budget, entry.value, *other)) return false;
  }
  return true;
}

bool equal_ranges(const Range& a, const Range& b) {
  return a.size == b.size && (a.size == 0 || (a.start == b.start && (a.size == 1 || a.step == b.step)));
}

[[noreturn]] void fail_order(const Budget& budget, std::string_view op, const Value& a, const Value& b) {
  if (a.is(Kind::Undefined)) fail_undefined(budget, a);
  if (b.is(Kind::Undefined)) fail_undefined(budget, b);
  budget.fail(fmt::format("'{}' is not supported between '{}' and '{}'", op, type_name(a.kind()),
                          type_name(b.kind())));
}

}  // namespace

std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::Missing:
      break;
    case Kind::Undefined:
      return "Undefined";
    case Kind::None:
      return "NoneType";
    case Kind::Bool:
      return "bool";
    case Kind::Int:
    case Kind::BigInt:
      return "int";
    case Kind::Float:
      return "float";
    case Kind::Str:
      return "str";
    case Kind::List:
      return "list";
    case Kind::Tuple:
      return "tuple";
    case Kind::Dict:
      return "dict";
    case Kind::Keys:
      return "dict_keys";
    case Kind::Values:
      return "dict_values";
    case Kind::Items:
      return "dict_items";
    case Kind::Range:
      return "range";
    case Kind::Generator:
      return "generator";
    case Kind::Namespace:
      return "Namespace";
    case Kind::Macro:
      return "Macro";
    case Kind::Method:
      return "method";
    case Kind::Function:
      return "function";
    case Kind::Loop:
      return "LoopContext";
  }
  return "missing";
}

void fail_undefined(const Budget& budget, const Value& undefined) {
  const auto [text, owner] = undefined.as_undefined();
  if (!owner) budget.fail(std::string(text));
  if (owner == Kind::Missing) budget.fail(fmt::format("'{}' is undefined", text));
  if (owner == Kind::None) budget.fail(fmt::format("'None' has no attribute '{}'", text));
  budget.fail(fmt::format("'{} object' has no attribute '{}'", type_name(*owner), text));
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::Missing:
    case Kind::Undefined:
    case Kind::None:
      return false;
    case Kind::Bool:
    case Kind::Int:
      return value.as_integer() != 0;
    case Kind::Float:
      return value.as_number() != 0;
    case Kind::Str:
      return !value.as_text().empty();
    default:
      return length(value).value_or(1) != 0;
  }
}

std::optional<int64_t> length(const Value& value) {
  switch (value.kind()) {
    case Kind::Undefined:
      return 0;
    case Kind::Str:
      return static_cast<int64_t>(text_length(value.as_text()));
    case Kind::List:
    case Kind::Tuple:
      return static_cast<int64_t>(value.as_items().size());
    case Kind::Dict:
    case Kind::Keys:
    case Kind::Values:
    case Kind::Items:
      return static_cast<int64_t>(value.as<Dict>().entries.size());
    case Kind::Range:
      return value.as<Range>().size;
    default:
      return {};
  }
}

bool equal(Budget& budget, const Value& a, const Value& b) {
  const Budget::Deeper deeper(budget);
  budget.spend();
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::Undefined:
    case Kind::None:
      return true;
    case Kind::Str:
      budget.spend_bytes(a.as_text().size());
      return a.as_text() == b.as_text();
    case Kind::List:
    case Kind::Tuple:
      return a.same_object(b) || equal_items(budget, a.as_items(), b.as_items());
    case Kind::Dict:
    case Kind::Items:
      return a.same_object(b) || equal_dicts(budget, a.as<Dict>(), b.as<Dict>());
    case Kind::Keys:
      return std::ranges::all_of(a.as<Dict>().entries,
                                 [&](const DictEntry& e) { return find(budget, b.as<Dict>(), e.key); }) &&
             length(a) == length(b);
    case Kind::Range:
      return equal_ranges(a.as<Range>(), b.as<Range>());
    default:
      return a.same_object(b);
  }
}

bool compare(Budget& budget, Order order, const Value& a, const Value& b) {
  const Budget::Deeper deeper(budget);
  const auto holds = [order](int sign) {  // of a against b
    switch (order) {
      case Order::Less:
        return sign == -1;
      case Order::LessEqual:
        return sign == -1 || sign == 0;
      case Order::Greater:
        return sign == 1;
      case Order::GreaterEqual:
        return sign == 1 || sign == 0;
    }
    return false;
  };
  budget.spend();
  if (is_number(a) && is_number(b)) return holds(compare_numbers(a, b));
  if (a.is(Kind::Str) && b.is(Kind::Str)) {
    budget.spend_bytes(std::min(a.as_text().size(), b.as_text().size()));
    const int sign = a.as_text().compare(b.as_text());  // UTF-8 sorts as its code points do
    return holds((sign > 0) - (sign < 0));
  }
  if (is_sequence(a) && a.kind() == b.kind()) {
    const auto x = a.as_items(), y = b.as_items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(budget, x[i], y[i])) return compare(budget, order, x[i], y[i]);
    }
    return holds((x.size() > y.size()) - (x.size() < y.size()));
  }
  constexpr std::string_view kNames[] = {"<", "<=", ">", ">="};
  fail_order(budget, kNames[static_cast<size_t>(order)], a, b);
}

bool less(Budget& budget, const Value& a, const Value& b) { return compare(budget, Order::Less, a, b); }

bool contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is(Kind::Str)) {
    if (!item.is(Kind::Str)) {
      budget.fail(
          fmt::format("'in <string>' requires string as left operand, not {}", type_name(item.kind())));
    }
    budget.spend_search(container.as_text(), item.as_text());
    return container.as_text().find(item.as_text()) != std::string_view::npos;
  }
  if (container.is(Kind::Dict, Kind::Keys)) return find(budget, container.as<Dict>(), item);
  Iterator iterator(budget, container);
  for (Value each; iterator.next(budget, each);) {
    if (equal(budget, each, item)) return true;
  }
  return false;
}

bool is_hashable(const Value& value) {
  if (value.is(Kind::Tuple)) return std::ranges::all_of(value.as_items(), is_hashable);
  return !value.is(Kind::List, Kind::Dict, Kind::Items, Kind::Keys);
}

const Value* find(Budget& budget, const Dict& dict, std::string_view key) {
  budget.spend_scan(dict.entries.size());
  for (const DictEntry& entry : dict.entries) {
    if (entry.key.is(Kind::Str) && entry.key.as_text() == key) return &entry.value;
  }
  return nullptr;
}

const Value* find(Budget& budget, const Dict& dict, const Value& key) {
  if (key.is(Kind::Str)) return find(budget, dict, key.as_text());
  if (!is_hashable(key)) budget.fail(fmt::format("unhashable type: '{}'", type_name(key.kind())));
  for (const DictEntry& entry : dict.entries) {
    if (equal(budget, entry.key, key)) return &entry.value;
  }
  return nullptr;
}

void DictBuilder::set(const Value& key, const Value& value) {
  if (const Value* old = find(budget_, Dict{entries_}, key)) {
    *const_cast<Value*>(old) = value;  // an entry of our own vector
    return;
  }
  budget_.spend(Budget::kStep / 2);
  entries_.push_back({key, value});
}

Value DictBuilder::value() const {
  const std::span<DictEntry> entries = budget_.make_array<DictEntry>(entries_.size());
  std::copy(entries_.begin(), entries_.end(), entries.begin());
  return Value::object<Dict>(budget_.make(Dict{entries}));
}

}  // namespace sw::jinja
