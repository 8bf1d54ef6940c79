// SPDX-License-Identifier: MIT
// Filters that compare items with each other.
#include <algorithm>
#include <fmt/core.h>

#include "jinja/builtins/native_tables.h"
#include "jinja/values/iterator.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

struct Keyed {
  Value key, item;
};

/// Python's sorted(): stable, also where it is reversed.
void sort_by_key(Budget& budget, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(budget, b.key, a.key) : less(budget, a.key, b.key);
  });
}

Value items_of(Budget& budget, const std::vector<Keyed>& keyed) {
  const std::span<Value> items = budget.make_array<Value>(keyed.size());
  std::transform(keyed.begin(), keyed.end(), items.begin(), [](const Keyed& k) { return k.item; });
  return Value::sequence(Kind::List, items);
}

std::vector<Keyed> keyed_items(Budget& budget, const Value& value, const Value& attribute,
                               bool case_sensitive) {
  const AttributePath path(budget, attribute);
  std::vector<Keyed> keyed;
  for (const Value& item : to_vector(budget, value)) {
    const Value key = path.get(budget, item);
    keyed.push_back({case_sensitive ? key : ignore_case(budget, key), item});
  }
  return keyed;
}

/// `attribute` may be several, separated by commas.
Value sort(Budget& budget, const Arguments& a) {
  const bool case_sensitive = is_true(a[2]);
  std::vector<AttributePath> paths;
  if (a[3].is(Kind::Str)) {
    for (const std::string_view part : split(a[3].as_text(), ",", -1)) {
      paths.emplace_back(budget, Value::text(part));
    }
  } else {
    paths.emplace_back(budget, a[3]);
  }
  std::vector<Keyed> keyed;
  for (const Value& item : to_vector(budget, a[0])) {
    const std::span<Value> keys = budget.make_array<Value>(paths.size());
    for (size_t i = 0; i < paths.size(); ++i) {
      const Value key = paths[i].get(budget, item);
      keys[i] = case_sensitive ? key : ignore_case(budget, key);
    }
    keyed.push_back({Value::sequence(Kind::List, keys), item});
  }
  sort_by_key(budget, keyed, is_true(a[1]));
  return items_of(budget, keyed);
}

Value dict_sort(Budget& budget, const Arguments& a) {
  const std::string_view by = text_argument(budget, a[2], "key");
  if (by != "key" && by != "value") budget.fail("You can only sort by either \"key\" or \"value\"");
  if (a[0].is(Kind::Undefined)) fail_undefined(budget, a[0]);
  if (!a[0].is(Kind::Dict))
    budget.fail(fmt::format("dictsort() needs a dict, not {}", type_name(a[0].kind())));
  std::vector<Keyed> keyed;
  for (const DictEntry& entry : a[0].as<Dict>().entries) {
    const Value& key = by == "key" ? entry.key : entry.value;
    keyed.push_back({is_true(a[1]) ? key : ignore_case(budget, key), entry_tuple(budget, entry)});
  }
  sort_by_key(budget, keyed, is_true(a[3]));
  return items_of(budget, keyed);
}

template <Order order>
Value extreme(Budget& budget, const Arguments& a) {
  const std::vector<Keyed> keyed = keyed_items(budget, a[0], a[2], is_true(a[1]));
  if (keyed.empty()) return Value::undefined({"No aggregated item, sequence was empty."});
  Keyed best = keyed[0];
  for (const Keyed& each : std::span(keyed).subspan(1)) {
    if (compare(budget, order, each.key, best.key)) best = each;
  }
  return best.item;
}

constexpr Native kFilters[] = {
    {"sort", sort, "value reverse? case_sensitive? attribute?"},
    {"dictsort", dict_sort, "value case_sensitive? by? reverse?"},
    {"min", extreme<Order::Less>, "value case_sensitive? attribute?"},
    {"max", extreme<Order::Greater>, "value case_sensitive? attribute?"},
};

}  // namespace

std::span<const Native> order_filters() { return kFilters; }

}  // namespace sw::jinja
