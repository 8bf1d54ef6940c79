// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/core.h>

#include "jinja/builtins/format.h"
#include "jinja/builtins/format_reader.h"
#include "jinja/values/operations.h"
#include "text/escape_html.h"

namespace sw::jinja {
namespace {

bool is_align(std::string_view c) { return c == "<" || c == ">" || c == "^" || c == "="; }

/// What stands behind the colon.
FormatSpec brace_spec(Budget& budget, std::string_view text) {
  FormatSpec spec;
  FormatReader reader(budget, text);
  if (!text.empty()) {
    FormatReader ahead = reader;
    const std::string_view first = ahead.take_code_point();
    const std::string_view second = ahead.rest().substr(0, 1);
    if (is_align(second)) {
      spec.fill = first;
      spec.align = second[0];
      ahead.take();
      reader = ahead;
    } else if (is_align(first)) {
      spec.align = reader.take();
    }
  }
  if (reader.peek() == '+' || reader.peek() == '-' || reader.peek() == ' ') spec.sign = reader.take();
  spec.alternate = reader.skip('#');
  if (reader.skip('0') && !spec.align) spec.align = '=', spec.fill = "0";
  spec.width = std::max(reader.take_number(kMaxFormatWidth), 0);
  if (reader.peek() == ',' || reader.peek() == '_') spec.grouping = reader.take();
  if (reader.skip('.')) {
    spec.precision = reader.take_number(kMaxFormatPrecision);
    if (spec.precision < 0) budget.fail("a format lacks its precision");
  }
  if (!reader.at_end()) spec.type = reader.take();
  if (!reader.at_end()) budget.fail("a format cannot be understood");
  return spec;
}

class BraceFormatter {
 public:
  BraceFormatter(Budget& budget, const Value& format, const Arguments& arguments)
      : budget_(budget),
        arguments_(arguments),
        reader_(budget, format.as_text()),
        markup_(format.is_markup()),
        out_(budget) {}

  Value run() {
    while (true) {
      out_.add(reader_.take_until("{}"));
      if (reader_.at_end()) return out_.value(markup_);
      const char c = reader_.take();
      if (reader_.skip(c)) {
        out_.add(c);
      } else if (c == '}') {
        budget_.fail("single '}' encountered in format string");
      } else {
        field();
      }
    }
  }

 private:
  void field() {
    budget_.spend(Budget::kStep);
    Value value = first_value(reader_.take_until(".[!:}{"));
    while (reader_.peek() == '.' || reader_.peek() == '[') value = part(value);
    char conversion = 0;
    if (reader_.skip('!')) conversion = reader_.take();
    std::string_view spec_text;
    if (reader_.skip(':')) spec_text = reader_.take_until("{}");
    if (!reader_.skip('}')) budget_.fail("a format field cannot be understood");
    if (conversion != 0 && conversion != 's' && conversion != 'r')
      budget_.fail("unknown conversion in a format");
    write(value, conversion, spec_text);
  }

  Value first_value(std::string_view name) {
    const bool number = !name.empty() && name.find_first_not_of("0123456789") == name.npos && name.size() < 6;
    if (name.empty() || number) {
      (number ? has_numbers_ : has_automatic_) = true;
      if (has_numbers_ && has_automatic_) budget_.fail("a format mixes {} and {0}");
      const size_t index = number ? std::stoul(std::string(name)) : n_automatic_++;
      if (index >= arguments_.positional.size())
        budget_.fail("a format asks for an argument that is not there");
      return arguments_[index];
    }
    for (const Keyword& keyword : arguments_.keywords) {
      if (keyword.name == name) return keyword.value;
    }
    budget_.fail(fmt::format("the format names '{}', which is not there", name));
  }

  Value part(const Value& value) {
    if (reader_.take() == '.') return get_attribute(budget_, value, reader_.take_until(".[!:}"));
    const std::string_view key = reader_.take_until("]");
    reader_.take();
    const bool number = !key.empty() && key.find_first_not_of("0123456789") == key.npos && key.size() < 10;
    return get_item(budget_, value, number ? Value(std::stol(std::string(key))) : Value::text(key));
  }

  void write(const Value& value, char conversion, std::string_view spec_text) {
    const FormatSpec spec = brace_spec(budget_, spec_text);
    budget_.spend(spec.width / 2);
    if (conversion == 0 && is_number(value) && !spec_text.empty()) {
      out_.add(format_number(budget_, spec, value));
      return;
    }
    TextBuilder text(budget_);
    if (conversion == 'r') {
      append_repr(text, value);
    } else {
      append_text(text, value);
    }
    if (spec.type != 0 && spec.type != 's') budget_.fail("unknown format code for a string");
    std::string shown = text.take();
    if (markup_ && !value.is_markup()) shown = escape_html(shown);
    if (!spec_text.empty() && conversion == 0 && !value.is(Kind::Str)) {
      budget_.fail(fmt::format("unsupported format string passed to {}", type_name(value.kind())));
    }
    out_.add(format_text(spec, shown));
  }

  Budget& budget_;
  const Arguments& arguments_;
  FormatReader reader_;
  bool markup_;
  TextBuilder out_;
  size_t n_automatic_ = 0;
  bool has_numbers_ = false, has_automatic_ = false;
};

}  // namespace

Value format_braces(Budget& budget, const Value& format, const Arguments& arguments) {
  budget.spend(static_cast<int64_t>(format.as_text().size() / 4));
  return BraceFormatter(budget, format, arguments).run();
}

}  // namespace sw::jinja
