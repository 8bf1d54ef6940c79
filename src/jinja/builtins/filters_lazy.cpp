// SPDX-License-Identifier: MIT
// Filters that give generators, as in Python: an item is looked at when it is asked for, and only once.
#include <algorithm>
#include <fmt/core.h>

#include "jinja/builtins/native_tables.h"
#include "jinja/values/iterator.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

Arguments keep(Budget& budget, const Arguments& a, size_t from) {
  const std::span<Keyword> keywords = budget.make_array<Keyword>(a.keywords.size());
  std::copy(a.keywords.begin(), a.keywords.end(), keywords.begin());
  const size_t n = std::min(from, a.positional.size());
  return {.positional = budget.copy(a.positional.subspan(n)), .keywords = keywords};
}

/// Calls a filter or test, which may itself be lazy: nested generators go deep.
Value call(Budget& budget, const Native& native, const Value& self, const Arguments& arguments) {
  const Budget::Deeper deeper(budget);
  return call_native(budget, native, self, arguments);
}

class Mapped final : public Generator {
 public:
  Mapped(Budget& budget, const Value& over, const Arguments& a) : items_(budget, over) {
    if (a.positional.empty()) {
      Value attribute;
      for (const Keyword& keyword : a.keywords) {
        if (keyword.name != "attribute" && keyword.name != "default") {
          budget.fail(fmt::format("Unexpected keyword argument '{}'", keyword.name));
        }
        (keyword.name == "default" ? otherwise_ : attribute) = keyword.value;
      }
      if (attribute.is(Kind::Missing)) budget.fail("map requires a filter argument");
      path_ = AttributePath(budget, attribute);
      return;
    }
    const std::string_view name = text_argument(budget, a[0]);
    filter_ = find_filter(name);
    if (!filter_) budget.fail(fmt::format("No filter named '{}'.", name));
    arguments_ = keep(budget, a, 1);
  }

  bool next(Budget& budget, Value& value) override {
    const Budget::Deeper deeper(budget);
    Value item;
    if (!items_.next(budget, item)) return false;
    value = filter_ ? call(budget, *filter_, item, arguments_) : path_.get(budget, item, otherwise_);
    return true;
  }

 private:
  Iterator items_;
  const Native* filter_ = nullptr;
  Arguments arguments_;
  AttributePath path_;
  Value otherwise_;
};

/// The items, or an attribute of them, that pass a test, or do not.
class Selected final : public Generator {
 public:
  Selected(Budget& budget, const Value& over, const Arguments& a, bool wanted, bool by_attribute)
      : items_(budget, over), wanted_(wanted) {
    if (by_attribute && a.positional.empty()) budget.fail("Missing parameter for attribute name");
    if (by_attribute) path_ = AttributePath(budget, a[0]);
    const size_t at = by_attribute ? 1 : 0;
    if (a.positional.size() <= at) return;
    const std::string_view name = text_argument(budget, a[at]);
    test_ = find_test(name);
    if (!test_) budget.fail(fmt::format("No test named '{}'.", name));
    arguments_ = keep(budget, a, at + 1);
  }

  bool next(Budget& budget, Value& value) override {
    const Budget::Deeper deeper(budget);
    for (Value item; items_.next(budget, item);) {
      const Value tested = path_.get(budget, item);
      if (is_true(test_ ? call(budget, *test_, tested, arguments_) : tested) != wanted_) continue;
      value = item;
      return true;
    }
    return false;
  }

 private:
  Iterator items_;
  bool wanted_;
  const Native* test_ = nullptr;
  Arguments arguments_;
  AttributePath path_;
};

/// A generator whose items are made all together, when the first is asked for.
using MakeItems = std::vector<Value> (*)(Budget&, const Arguments&);
class Deferred final : public Generator {
 public:
  Deferred(MakeItems make, const Arguments& arguments) : make_(make), arguments_(arguments) {}

  bool next(Budget& budget, Value& value) override {
    const Budget::Deeper deeper(budget);
    if (make_) {
      const std::vector<Value> items = std::exchange(make_, nullptr)(budget, arguments_);
      items_ = Iterator(budget, Value::sequence(Kind::List, budget.copy(items)));
    }
    return items_.next(budget, value);
  }

 private:
  MakeItems make_;
  Arguments arguments_;
  Iterator items_;
};

template <MakeItems make>
Value defer(Budget& budget, const Arguments& a) {
  return Value::object<Generator>(budget.make(Deferred(make, keep(budget, a, 0))));
}

/// Makes its generator when the first item is asked for: until then, wrong arguments are no error.
template <class Make>
class Late final : public Generator {
 public:
  explicit Late(const Arguments& arguments) : arguments_(arguments) {}

  bool next(Budget& budget, Value& value) override {
    if (!generator_) {
      if (!is_true(arguments_[0])) return false;
      generator_ =
          Make()(budget, arguments_[0], Arguments{arguments_.positional.subspan(1), arguments_.keywords});
    }
    return generator_->next(budget, value);
  }

 private:
  Arguments arguments_;
  Generator* generator_ = nullptr;
};

struct MakeMapped {
  Generator* operator()(Budget& budget, const Value& over, const Arguments& a) const {
    return budget.make(Mapped(budget, over, a));
  }
};
template <bool wanted, bool by_attribute>
struct MakeSelected {
  Generator* operator()(Budget& budget, const Value& over, const Arguments& a) const {
    return budget.make(Selected(budget, over, a, wanted, by_attribute));
  }
};
template <class Make>
Value late(Budget& budget, const Arguments& a) {
  if (a.positional.empty()) budget.fail("a filter lacks its value");
  return Value::object<Generator>(budget.make(Late<Make>(keep(budget, a, 0))));
}

std::vector<Value> unique(Budget& budget, const Arguments& a) {
  const AttributePath path(budget, a[2]);
  std::vector<Value> keys, items;
  Iterator iterator(budget, a[0]);
  for (Value item; iterator.next(budget, item);) {
    Value key = path.get(budget, item);
    if (!is_true(a[1])) key = ignore_case(budget, key);
    if (!is_hashable(key)) budget.fail(fmt::format("unhashable type: '{}'", type_name(key.kind())));
    const bool seen = std::ranges::any_of(keys, [&](const Value& k) { return equal(budget, k, key); });
    if (seen) continue;
    keys.push_back(key);
    items.push_back(item);
  }
  return items;
}

std::vector<Value> batch(Budget& budget, const Arguments& a) {
  const int64_t size = integer_argument(budget, a[1], 0);
  const std::vector<Value> items = to_vector(budget, a[0]);
  const bool fills = !a[2].is(Kind::Missing, Kind::None);
  // Jinja compares a batch's length with the size before it adds an item: 0 is reached once, by the empty
  // batch, and what is below 0 never.
  const size_t n = size > 0 ? static_cast<size_t>(size) : std::max<size_t>(items.size(), 1);
  std::vector<Value> batches;
  if (size == 0 && !items.empty()) batches.push_back(Value::sequence(Kind::List, {}));
  for (size_t begin = 0; begin < items.size(); begin += n) {
    const size_t end = std::min(items.size(), begin + n);
    const bool filled = fills && size > 0 && end - begin < n;
    const std::span<Value> one = budget.make_array<Value>(filled ? n : end - begin);
    std::copy(items.begin() + static_cast<long>(begin), items.begin() + static_cast<long>(end), one.begin());
    if (filled) std::fill(one.begin() + static_cast<long>(end - begin), one.end(), a[2]);
    batches.push_back(Value::sequence(Kind::List, one));
    if (end == items.size()) break;  // and `begin` cannot overflow
  }
  return batches;
}

std::vector<Value> slices(Budget& budget, const Arguments& a) {
  const std::vector<Value> items = to_vector(budget, a[0]);
  const int64_t n = integer_argument(budget, a[1], 0);
  if (n == 0) budget.fail("integer modulo by zero");
  const bool fills = !a[2].is(Kind::Missing, Kind::None);
  std::vector<Value> result;
  size_t begin = 0;
  for (int64_t i = 0; i < n; ++i) {
    const auto count = static_cast<size_t>(n);
    const bool longer = static_cast<size_t>(i) < items.size() % count;
    const size_t size = items.size() / count + longer;
    std::vector<Value> one(items.begin() + static_cast<long>(begin),
                           items.begin() + static_cast<long>(begin + size));
    if (fills && !longer) one.push_back(a[2]);
    result.push_back(Value::sequence(Kind::List, budget.copy(one)));
    budget.spend(Budget::kStep);
    begin += size;
  }
  return result;
}

std::vector<Value> items_of(Budget& budget, const Arguments& a) {
  if (a[0].is(Kind::Undefined)) return {};
  if (!a[0].is(Kind::Dict)) budget.fail("Can only get item pairs from a mapping.");
  return to_vector(budget, Value::object<Dict>(&a[0].as<Dict>(), Kind::Items));
}

std::vector<Value> reversed(Budget& budget, const Arguments& a) {
  std::vector<Value> items = to_vector(budget, a[0]);
  std::reverse(items.begin(), items.end());
  return items;
}

Value reverse(Budget& budget, const Arguments& a) {
  if (a[0].is(Kind::Str)) return get_slice(budget, a[0], {}, {}, Value(-1));
  if (!is_iterable(a[0])) budget.fail("argument must be iterable");
  if (a[0].is(Kind::Generator)) return Value::sequence(Kind::List, budget.copy(reversed(budget, a)));
  return defer<reversed>(budget, a);
}

constexpr Native kFilters[] = {
    {"map", late<MakeMapped>, "..."},
    {"select", late<MakeSelected<true, false>>, "..."},
    {"reject", late<MakeSelected<false, false>>, "..."},
    {"selectattr", late<MakeSelected<true, true>>, "..."},
    {"rejectattr", late<MakeSelected<false, true>>, "..."},
    {"unique", defer<unique>, "value case_sensitive? attribute?"},
    {"batch", defer<batch>, "value linecount fill_with?"},
    {"slice", defer<slices>, "value slices fill_with?"},
    {"items", defer<items_of>},
    {"reverse", reverse},
};

}  // namespace

std::span<const Native> lazy_filters() { return kFilters; }

}  // namespace sw::jinja
