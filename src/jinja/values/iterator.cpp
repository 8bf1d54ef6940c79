// SPDX-License-Identifier: MIT
#include "jinja/values/iterator.h"

#include <fmt/core.h>

#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {

bool is_iterable(const Value& value) {
  return value.is(Kind::Generator, Kind::Str) || length(value).has_value();
}

Iterator::Iterator(Budget& budget, const Value& value) : over_(value) {
  if (!is_iterable(value)) budget.fail(fmt::format("'{}' object is not iterable", type_name(value.kind())));
}

bool Iterator::next(Budget& budget, Value& value) {
  budget.spend(Budget::kStep / 2);
  switch (over_.kind()) {
    case Kind::Generator:
      return over_.as<Generator>().next(budget, value);
    case Kind::Str: {
      const std::string_view text = over_.as_text();
      if (at_ == text.size()) return false;
      const size_t begin = at_;
      next_code_point(text, at_);
      value = Value::text(text.substr(begin, at_ - begin));
      return true;
    }
    case Kind::List:
    case Kind::Tuple:
      if (at_ == over_.as_items().size()) return false;
      value = over_.as_items()[at_++];
      return true;
    case Kind::Range:
      if (static_cast<int64_t>(at_) == over_.as<Range>().size) return false;
      value = over_.as<Range>().at(static_cast<int64_t>(at_++));
      return true;
    case Kind::Dict:
    case Kind::Keys:
    case Kind::Values:
    case Kind::Items: {
      if (at_ == over_.as<Dict>().entries.size()) return false;
      const DictEntry& entry = over_.as<Dict>().entries[at_++];
      value = over_.is(Kind::Items)    ? entry_tuple(budget, entry)
              : over_.is(Kind::Values) ? entry.value
                                       : entry.key;
      return true;
    }
    default:
      return false;  // Undefined is empty
  }
}

Value entry_tuple(Budget& budget, const DictEntry& entry) {
  const std::span<Value> pair = budget.make_array<Value>(2);
  pair[0] = entry.key;
  pair[1] = entry.value;
  return Value::sequence(Kind::Tuple, pair);
}

std::vector<Value> to_vector(Budget& budget, const Value& value) {
  std::vector<Value> items;
  if (!value.is(Kind::Str)) items.reserve(static_cast<size_t>(length(value).value_or(0)));
  Iterator iterator(budget, value);
  for (Value each; iterator.next(budget, each);) items.push_back(each);
  return items;
}

Value to_list(Budget& budget, const Value& value) {
  if (value.is(Kind::List)) return value;
  return Value::sequence(Kind::List, budget.copy(to_vector(budget, value)));
}

}  // namespace sw::jinja
