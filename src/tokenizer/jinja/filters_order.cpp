// SPDX-License-Identifier: MIT
// Filters that compare items with each other.
#include <algorithm>
#include <fmt/core.h>

#include "tokenizer/jinja/iterator.h"
#include "tokenizer/jinja/native_tables.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/jinja/text.h"

namespace sw::jinja {
namespace {

struct Keyed {
  Value key, item;
};

/// Python's sorted(): stable, also where it is reversed.
void sort_by_key(Runtime& runtime, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(runtime, b.key, a.key) : less(runtime, a.key, b.key);
  });
}

Value items_of(Runtime& runtime, const std::vector<Keyed>& keyed) {
  const std::span<Value> items = runtime.make_array<Value>(keyed.size());
  std::transform(keyed.begin(), keyed.end(), items.begin(), [](const Keyed& k) { return k.item; });
  return Value::list(items);
}

std::vector<Keyed> keyed_items(Runtime& runtime, const Value& value, const Value& attribute,
                               bool case_sensitive) {
  const AttributePath path(runtime, attribute);
  std::vector<Keyed> keyed;
  for (const Value& item : to_vector(runtime, value)) {
    const Value key = path.get(runtime, item);
    keyed.push_back({case_sensitive ? key : ignore_case(runtime, key), item});
  }
  return keyed;
}

/// `attribute` may be several, separated by commas.
Value sort(Runtime& runtime, const Arguments& a) {
  const bool case_sensitive = is_true(a[2]);
  std::vector<AttributePath> paths;
  if (a[3].is_str()) {
    for (const std::string_view part : split(a[3].as_text(), ",", -1)) {
      paths.emplace_back(runtime, Value::text(part));
    }
  } else {
    paths.emplace_back(runtime, a[3]);
  }
  std::vector<Keyed> keyed;
  for (const Value& item : to_vector(runtime, a[0])) {
    const std::span<Value> keys = runtime.make_array<Value>(paths.size());
    for (size_t i = 0; i < paths.size(); ++i) {
      const Value key = paths[i].get(runtime, item);
      keys[i] = case_sensitive ? key : ignore_case(runtime, key);
    }
    keyed.push_back({Value::list(keys), item});
  }
  sort_by_key(runtime, keyed, is_true(a[1]));
  return items_of(runtime, keyed);
}

Value dict_sort(Runtime& runtime, const Arguments& a) {
  const std::string_view by = text_argument(runtime, a[2], "key");
  if (by != "key" && by != "value") runtime.fail("You can only sort by either \"key\" or \"value\"");
  if (a[0].is_undefined()) fail_undefined(runtime, a[0]);
  if (!a[0].is(Kind::Dict))
    runtime.fail(fmt::format("dictsort() needs a dict, not {}", type_name(a[0].kind())));
  std::vector<Keyed> keyed;
  for (const DictEntry& entry : a[0].as_dict().entries) {
    const Value& key = by == "key" ? entry.key : entry.value;
    keyed.push_back({is_true(a[1]) ? key : ignore_case(runtime, key), entry_tuple(runtime, entry)});
  }
  sort_by_key(runtime, keyed, is_true(a[3]));
  return items_of(runtime, keyed);
}

template <Order order>
Value extreme(Runtime& runtime, const Arguments& a) {
  const std::vector<Keyed> keyed = keyed_items(runtime, a[0], a[2], is_true(a[1]));
  if (keyed.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  Keyed best = keyed[0];
  for (const Keyed& each : std::span(keyed).subspan(1)) {
    if (compare(runtime, order, each.key, best.key)) best = each;
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
