// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <fmt/core.h>
#include <optional>

#include "jinja/builtins/format.h"
#include "jinja/builtins/format_reader.h"
#include "jinja/values/big_integer.h"
#include "jinja/values/operations.h"
#include "text/escape_html.h"

namespace sw::jinja {
namespace {

/// The values behind the % operator.
class PercentValues {
 public:
  PercentValues(Budget& budget, const Value& values) : budget_(budget), values_(values) {
    if (values.is(Kind::Tuple)) {
      list_ = values.as_items();
    } else {
      list_ = std::span(&values_, 1);
    }
  }
  Value by_name(std::string_view name) const {
    if (!values_.is(Kind::Dict)) budget_.fail("format requires a mapping");
    const Value* found = find(budget_, values_.as<Dict>(), name);
    if (!found) budget_.fail(fmt::format("the format names '{}', which is not there", name));
    return *found;
  }
  Value next() {
    if (n_used_ == list_.size()) budget_.fail("not enough arguments for format string");
    return list_[n_used_++];
  }
  void check_all_used() const {
    const bool unused = n_used_ < list_.size();
    const bool may_remain = values_.is(Kind::Dict, Kind::List, Kind::Range, Kind::Undefined);
    if (unused && !may_remain) budget_.fail("not all arguments converted during string formatting");
  }

 private:
  Budget& budget_;
  Value values_;
  std::span<const Value> list_;
  size_t n_used_ = 0;
};

/// Behind the sign %: flags, width, precision, type.
FormatSpec percent_spec(Budget& budget, FormatReader& reader, PercentValues& values) {
  FormatSpec spec{.align = '>'};
  for (bool flags = true; flags;) {
    switch (reader.peek()) {
      case '-':
        spec.align = '<', reader.take();
        break;
      case '+':
        spec.sign = '+', reader.take();
        break;
      case ' ':
        spec.sign = spec.sign == '+' ? '+' : ' ', reader.take();
        break;
      case '#':
        spec.alternate = true, reader.take();
        break;
      case '0':
        spec.fill = "0", reader.take();
        break;
      default:
        flags = false;
    }
  }
  const auto number = [&](int limit) {
    if (!reader.skip('*')) return std::max(reader.take_number(limit), 0);
    return static_cast<int>(std::clamp<int64_t>(integer_argument(budget, values.next(), 0), 0, limit));
  };
  spec.width = number(kMaxFormatWidth);
  if (reader.skip('.')) spec.precision = number(kMaxFormatPrecision);
  while (reader.peek() == 'l' || reader.peek() == 'h' || reader.peek() == 'L') reader.take();
  spec.type = reader.take();
  if (spec.fill == "0") {
    if (spec.align == '<') spec.fill = " ";
    if (spec.align == '>') spec.align = '=';
  }
  return spec;
}

std::string percent_text(Budget& budget, const FormatSpec& spec, const Value& value, bool markup) {
  FormatSpec plain = spec;
  plain.fill = " ";
  if (plain.align == '=') plain.align = '>';
  if (spec.type == 'c') {
    if (!value.is(Kind::Str) || text_length(value.as_text()) != 1)
      budget.fail("%c requires a single character");
    return format_text(plain, value.as_text());
  }
  TextBuilder out(budget);
  if (spec.type == 's') {
    append_text(out, value);
  } else {
    append_repr(out, value);
  }
  std::string text = out.take();
  if (markup && !value.is_markup()) text = escape_html(text);
  return format_text(plain, text);
}

std::string percent_number(Budget& budget, FormatSpec spec, const Value& value) {
  if (value.is(Kind::Undefined)) fail_undefined(budget, value);
  if (!is_number(value))
    budget.fail(fmt::format("%{} format: a number is required, not {}", spec.type, type_name(value.kind())));
  if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
  if (spec.type == 'd' && value.is(Kind::Float)) {
    if (!std::isfinite(value.as_number())) budget.fail("cannot convert an infinite float or NaN to integer");
    return format_number(budget, spec, integer_value(budget, value.as_number()));
  }
  return format_number(budget, spec, value);
}

}  // namespace

Value format_percent(Budget& budget, const Value& format, const Value& arguments) {
  budget.spend(static_cast<int64_t>(format.as_text().size() / 4));
  FormatReader reader(budget, format.as_text());
  PercentValues values(budget, arguments);
  TextBuilder out(budget);
  while (true) {
    out.add(reader.take_until("%"));
    if (reader.at_end()) break;
    reader.take();
    std::optional<Value> named;
    if (reader.skip('(')) {
      named = values.by_name(reader.take_until(")"));
      reader.take();
    }
    const FormatSpec spec = percent_spec(budget, reader, values);
    budget.spend(Budget::kStep + spec.width / 2);
    if (spec.type == '%') {
      out.add('%');
      continue;
    }
    const Value value = named ? *named : values.next();
    const bool is_text = spec.type == 's' || spec.type == 'r' || spec.type == 'a' || spec.type == 'c';
    out.add(is_text ? percent_text(budget, spec, value, format.is_markup())
                    : percent_number(budget, spec, value));
  }
  values.check_all_used();
  return out.value(format.is_markup());
}

}  // namespace sw::jinja
