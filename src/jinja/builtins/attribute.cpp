// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/core.h>

#include "jinja/builtins/native.h"
#include "jinja/values/objects.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

Value loop_attribute(Budget& budget, LoopState& loop, std::string_view name) {
  if (name == "index") return Value(loop.index0 + 1);
  if (name == "index0") return Value(loop.index0);
  if (name == "first") return Value(loop.index0 == 0);
  if (name == "last") return Value(!loop.peek(budget));
  if (name == "length") return Value(loop.length(budget));
  if (name == "revindex") return Value(loop.length(budget) - loop.index0);
  if (name == "revindex0") return Value(loop.length(budget) - loop.index0 - 1);
  if (name == "depth") return Value(loop.depth0 + 1);
  if (name == "depth0") return Value(loop.depth0);
  if (name == "previtem")
    return loop.index0 > 0 ? loop.before : Value::undefined({"there is no previous item"});
  if (name == "nextitem") return loop.peek(budget) ? loop.after : Value::undefined({"there is no next item"});
  return {};
}

/// The attribute that Python's object itself has, Missing where it has none.
Value own_attribute(Budget& budget, const Value& value, std::string_view name) {
  if (value.is(Kind::Namespace)) {
    const Value* found = value.as<Namespace>().find(budget, name);
    return found ? *found : Value();
  }
  if (value.is(Kind::Loop)) {
    const Value found = loop_attribute(budget, value.as<LoopState>(), name);
    if (!found.is(Kind::Missing)) return found;
  }
  const Native* method = find_method(value.kind(), name);
  const bool hidden = name.size() > 4 && name.starts_with("__") && name.ends_with("__");
  if (hidden || (method && !method->call)) {
    return Value::undefined({budget.copy(
        fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(value.kind())))});
  }
  return method ? Value::object<BoundMethod>(budget.make(BoundMethod{method, value})) : Value();
}

/// Where Python's index `i` stands among `n` things; nothing outside of them.
std::optional<int64_t> place(int64_t i, int64_t n) {
  if (i < 0) i += n;
  return i >= 0 && i < n ? std::optional(i) : std::nullopt;
}

Value sequence_item(Budget& budget, const Value& value, int64_t index) {
  if (value.is(Kind::Str)) budget.spend_bytes(value.as_text().size());
  const std::optional<int64_t> at = place(index, *length(value));
  if (!at) {
    return Value::undefined(
        {budget.copy(fmt::format("{} object has no element {}", type_name(value.kind()), index))});
  }
  if (value.is(Kind::Range)) return value.as<Range>().at(*at);
  if (is_sequence(value)) return value.as_items()[static_cast<size_t>(*at)];
  const std::string_view text = value.as_text();
  size_t end = byte_offset(text, static_cast<size_t>(*at));
  const size_t begin = end;
  next_code_point(text, end);
  return Value::text(text.substr(begin, end - begin), value.is_markup());
}

struct Bounds {
  int64_t start = 0, stop = 0, step = 1, n = 0;  ///< n items, from `start` on
};

/// Of integers, None and Missing.
Bounds bounds(Budget& budget, int64_t size, const Value& start, const Value& stop, const Value& step) {
  Bounds b;
  b.step = is_small_integer(step) ? step.as_integer() : 1;
  if (b.step == 0) budget.fail("slice step cannot be zero");
  const bool back = b.step < 0;
  const int64_t lowest = back ? -1 : 0, highest = back ? size - 1 : size;
  const auto clamp = [&](int64_t i) { return std::clamp(i < 0 ? i + size : i, lowest, highest); };
  b.start = is_small_integer(start) ? clamp(start.as_integer()) : back ? highest : lowest;
  b.stop = is_small_integer(stop) ? clamp(stop.as_integer()) : back ? lowest : highest;
  const int64_t way = back ? b.start - b.stop : b.stop - b.start;
  // A step beyond the size is as good as the size, and -step does not overflow then.
  b.step = std::clamp(b.step, -size - 1, size + 1);
  const int64_t stride = back ? -b.step : b.step;
  b.n = way > 0 ? (way - 1) / stride + 1 : 0;
  return b;
}

Value text_slice(Budget& budget, std::string_view text, const Bounds& b, bool markup) {
  budget.spend_bytes(text.size());
  if (b.step == 1) {
    const size_t begin = byte_offset(text, static_cast<size_t>(b.n ? b.start : 0));
    return Value::text(text.substr(begin, byte_offset(text.substr(begin), static_cast<size_t>(b.n))), markup);
  }
  budget.spend(static_cast<int64_t>(text.size()));
  std::vector<std::string_view> letters;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    next_code_point(text, at);
    letters.push_back(text.substr(begin, at - begin));
  }
  std::string out;
  for (int64_t i = 0; i < b.n; ++i) out += letters[static_cast<size_t>(b.start + i * b.step)];
  return budget.text(out, markup);
}

Value items_slice(Budget& budget, const Value& value, const Bounds& b) {
  const std::span<const Value> items = value.as_items();
  std::span<const Value> slice;
  if (b.step == 1) {
    slice = items.subspan(static_cast<size_t>(b.n ? b.start : 0), static_cast<size_t>(b.n));
  } else {
    const std::span<Value> picked = budget.make_array<Value>(static_cast<size_t>(b.n));
    for (int64_t i = 0; i < b.n; ++i) {
      picked[static_cast<size_t>(i)] = items[static_cast<size_t>(b.start + i * b.step)];
    }
    slice = picked;
  }
  return Value::sequence(value.kind(), slice);
}

}  // namespace

Value get_attribute(Budget& budget, const Value& value, std::string_view name) {
  if (value.is(Kind::Undefined)) fail_undefined(budget, value);
  const Value own = own_attribute(budget, value, name);
  if (!own.is(Kind::Missing)) return own;
  if (value.is(Kind::Dict)) {
    if (const Value* found = find(budget, value.as<Dict>(), name)) return *found;
  }
  return Value::undefined({name, value.kind()});
}

Value get_item(Budget& budget, const Value& value, const Value& key) {
  if (value.is(Kind::Undefined)) fail_undefined(budget, value);
  if (value.is(Kind::Dict) && is_hashable(key)) {
    if (const Value* found = find(budget, value.as<Dict>(), key)) return *found;
  } else if (is_small_integer(key) && (value.is(Kind::Str, Kind::Range) || is_sequence(value))) {
    return sequence_item(budget, value, key.as_integer());
  }
  if (key.is(Kind::Str)) {
    const Value own = own_attribute(budget, value, key.as_text());
    return own.is(Kind::Missing) ? Value::undefined({key.as_text(), value.kind()}) : own;
  }
  TextBuilder message(budget);
  message.add(fmt::format("{} object has no element ", type_name(value.kind())));
  append_repr(message, key);
  return Value::undefined({budget.copy(message.view())});
}

Value get_slice(Budget& budget, const Value& value, const Value& start, const Value& stop,
                const Value& step) {
  if (value.is(Kind::Undefined)) fail_undefined(budget, value);
  const auto is_bound = [](const Value& v) { return v.is(Kind::Missing, Kind::None) || is_small_integer(v); };
  const bool sliceable = value.is(Kind::Str, Kind::Range) || is_sequence(value);
  if (!sliceable || !is_bound(start) || !is_bound(stop) || !is_bound(step)) {
    budget.fail(fmt::format("'{}' object cannot be sliced so", type_name(value.kind())));
  }
  const Bounds b = bounds(budget, *length(value), start, stop, step);
  if (value.is(Kind::Str)) return text_slice(budget, value.as_text(), b, value.is_markup());
  if (is_sequence(value)) return items_slice(budget, value, b);
  const Range& range = value.as<Range>();
  return Value::object<Range>(budget.make(range.slice(b.start, b.stop, b.step, b.n)));
}

}  // namespace sw::jinja
