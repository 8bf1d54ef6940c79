// SPDX-License-Identifier: MIT
// Filters that give generators, as in Python: an item is looked at when it is asked for, and only once.
#include <algorithm>
#include <fmt/core.h>

#include "tokenizer/jinja/iterator.h"
#include "tokenizer/jinja/native_tables.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/jinja/text.h"

namespace sw::jinja {
namespace {

Arguments keep(Runtime& runtime, const Arguments& a, size_t from) {
  const std::span<Keyword> keywords = runtime.make_array<Keyword>(a.keywords.size());
  std::copy(a.keywords.begin(), a.keywords.end(), keywords.begin());
  const size_t n = std::min(from, a.positional.size());
  return {.positional = runtime.copy(a.positional.subspan(n)), .keywords = keywords};
}

/// Calls a filter or test, which may itself be lazy: nested generators go deep.
Value call(Runtime& runtime, const Native& native, const Value& self, const Arguments& arguments) {
  const Runtime::Deeper deeper(runtime);
  return call_native(runtime, native, self, arguments);
}

class Mapped final : public Generator {
 public:
  Mapped(Runtime& runtime, const Value& over, const Arguments& a) : items_(runtime, over) {
    if (a.positional.empty()) {
      Value attribute;
      for (const Keyword& keyword : a.keywords) {
        if (keyword.name != "attribute" && keyword.name != "default") {
          runtime.fail(fmt::format("Unexpected keyword argument '{}'", keyword.name));
        }
        (keyword.name == "default" ? otherwise_ : attribute) = keyword.value;
      }
      if (attribute.is_missing()) runtime.fail("map requires a filter argument");
      path_ = AttributePath(runtime, attribute);
      return;
    }
    const std::string_view name = text_argument(runtime, a[0]);
    filter_ = find_filter(name);
    if (!filter_) runtime.fail(fmt::format("No filter named '{}'.", name));
    arguments_ = keep(runtime, a, 1);
  }

  bool next(Runtime& runtime, Value& value) override {
    const Runtime::Deeper deeper(runtime);
    Value item;
    if (!items_.next(runtime, item)) return false;
    value = filter_ ? call(runtime, *filter_, item, arguments_) : path_.get(runtime, item, otherwise_);
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
  Selected(Runtime& runtime, const Value& over, const Arguments& a, bool wanted, bool by_attribute)
      : items_(runtime, over), wanted_(wanted) {
    if (by_attribute && a.positional.empty()) runtime.fail("Missing parameter for attribute name");
    if (by_attribute) path_ = AttributePath(runtime, a[0]);
    const size_t at = by_attribute ? 1 : 0;
    if (a.positional.size() <= at) return;
    const std::string_view name = text_argument(runtime, a[at]);
    test_ = find_test(name);
    if (!test_) runtime.fail(fmt::format("No test named '{}'.", name));
    arguments_ = keep(runtime, a, at + 1);
  }

  bool next(Runtime& runtime, Value& value) override {
    const Runtime::Deeper deeper(runtime);
    for (Value item; items_.next(runtime, item);) {
      const Value tested = path_.get(runtime, item);
      if (is_true(test_ ? call(runtime, *test_, tested, arguments_) : tested) != wanted_) continue;
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
using MakeItems = std::vector<Value> (*)(Runtime&, const Arguments&);
class Deferred final : public Generator {
 public:
  Deferred(MakeItems make, const Arguments& arguments) : make_(make), arguments_(arguments) {}

  bool next(Runtime& runtime, Value& value) override {
    const Runtime::Deeper deeper(runtime);
    if (make_)
      items_ =
          Iterator(runtime, Value::list(runtime.copy(std::exchange(make_, nullptr)(runtime, arguments_))));
    return items_.next(runtime, value);
  }

 private:
  MakeItems make_;
  Arguments arguments_;
  Iterator items_;
};

template <MakeItems make>
Value defer(Runtime& runtime, const Arguments& a) {
  return Value::generator(runtime.make(Deferred(make, keep(runtime, a, 0))));
}

/// Makes its generator when the first item is asked for: until then, wrong arguments are no error.
template <class Make>
class Late final : public Generator {
 public:
  explicit Late(const Arguments& arguments) : arguments_(arguments) {}

  bool next(Runtime& runtime, Value& value) override {
    if (!generator_) {
      if (!is_true(arguments_[0])) return false;
      generator_ =
          Make()(runtime, arguments_[0], Arguments{arguments_.positional.subspan(1), arguments_.keywords});
    }
    return generator_->next(runtime, value);
  }

 private:
  Arguments arguments_;
  Generator* generator_ = nullptr;
};

struct MakeMapped {
  Generator* operator()(Runtime& runtime, const Value& over, const Arguments& a) const {
    return runtime.make(Mapped(runtime, over, a));
  }
};
template <bool wanted, bool by_attribute>
struct MakeSelected {
  Generator* operator()(Runtime& runtime, const Value& over, const Arguments& a) const {
    return runtime.make(Selected(runtime, over, a, wanted, by_attribute));
  }
};
template <class Make>
Value late(Runtime& runtime, const Arguments& a) {
  if (a.positional.empty()) runtime.fail("a filter lacks its value");
  return Value::generator(runtime.make(Late<Make>(keep(runtime, a, 0))));
}

std::vector<Value> unique(Runtime& runtime, const Arguments& a) {
  const AttributePath path(runtime, a[2]);
  std::vector<Value> keys, items;
  Iterator iterator(runtime, a[0]);
  for (Value item; iterator.next(runtime, item);) {
    Value key = path.get(runtime, item);
    if (!is_true(a[1])) key = ignore_case(runtime, key);
    if (!is_hashable(key)) runtime.fail(fmt::format("unhashable type: '{}'", type_name(key.kind())));
    const bool seen = std::ranges::any_of(keys, [&](const Value& k) { return equal(runtime, k, key); });
    if (seen) continue;
    keys.push_back(key);
    items.push_back(item);
  }
  return items;
}

std::vector<Value> batch(Runtime& runtime, const Arguments& a) {
  const int64_t size = integer_argument(runtime, a[1], 0);
  const std::vector<Value> items = to_vector(runtime, a[0]);
  const bool fills = !a[2].is_missing() && !a[2].is(Kind::None);
  // Python compares the batch's length with the size: one that is not positive is never reached.
  const size_t n = size > 0 ? static_cast<size_t>(size) : std::max<size_t>(items.size(), 1);
  std::vector<Value> batches;
  for (size_t begin = 0; begin < items.size(); begin += n) {
    const size_t end = std::min(items.size(), begin + n);
    const bool filled = fills && size > 0 && end - begin < n;
    const std::span<Value> one = runtime.make_array<Value>(filled ? n : end - begin);
    std::copy(items.begin() + static_cast<long>(begin), items.begin() + static_cast<long>(end), one.begin());
    if (filled) std::fill(one.begin() + static_cast<long>(end - begin), one.end(), a[2]);
    batches.push_back(Value::list(one));
    if (end == items.size()) break;  // and `begin` cannot overflow
  }
  return batches;
}

std::vector<Value> slices(Runtime& runtime, const Arguments& a) {
  const std::vector<Value> items = to_vector(runtime, a[0]);
  const int64_t n = integer_argument(runtime, a[1], 0);
  if (n == 0) runtime.fail("integer modulo by zero");
  const bool fills = !a[2].is_missing() && !a[2].is(Kind::None);
  std::vector<Value> result;
  size_t begin = 0;
  for (int64_t i = 0; i < n; ++i) {
    const auto count = static_cast<size_t>(n);
    const bool longer = static_cast<size_t>(i) < items.size() % count;
    const size_t size = items.size() / count + longer;
    std::vector<Value> one(items.begin() + static_cast<long>(begin),
                           items.begin() + static_cast<long>(begin + size));
    if (fills && !longer) one.push_back(a[2]);
    result.push_back(Value::list(runtime.copy(one)));
    runtime.spend(Runtime::kStep);
    begin += size;
  }
  return result;
}

std::vector<Value> items_of(Runtime& runtime, const Arguments& a) {
  if (a[0].is_undefined()) return {};
  if (!a[0].is(Kind::Dict)) runtime.fail("Can only get item pairs from a mapping.");
  return to_vector(runtime, Value::dict(&a[0].as_dict(), Kind::Items));
}

std::vector<Value> reversed(Runtime& runtime, const Arguments& a) {
  std::vector<Value> items = to_vector(runtime, a[0]);
  std::reverse(items.begin(), items.end());
  return items;
}

Value reverse(Runtime& runtime, const Arguments& a) {
  if (a[0].is_str()) return get_slice(runtime, a[0], {}, {}, Value::integer(-1));
  if (!is_iterable(a[0])) runtime.fail("argument must be iterable");
  if (a[0].is(Kind::Generator)) return Value::list(runtime.copy(reversed(runtime, a)));
  return defer<reversed>(runtime, a);
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
