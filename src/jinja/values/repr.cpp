// SPDX-License-Identifier: MIT
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "jinja/builtins/native.h"
#include "jinja/values/big_integer.h"
#include "jinja/values/objects.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"
#include "text/utf8.h"

namespace sw::jinja {
namespace {

void append_escaped(char32_t c, std::string& out) {
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\\':
      out += "\\\\";
      return;
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(c);
  if (is_printable(c)) {
    append_utf8(c, out);
  } else if (code < 0x100) {
    append_hex("\\x", code, 2, out);
  } else if (code < 0x10000) {
    append_hex("\\u", code, 4, out);
  } else {
    append_hex("\\U", code, 8, out);
  }
}

void append_entries(TextBuilder& out, const Value& value) {
  bool first = true;
  for (const DictEntry& entry : value.as<Dict>().entries) {
    if (!std::exchange(first, false)) out.add(", ");
    if (value.is(Kind::Items)) out.add('(');
    if (!value.is(Kind::Values)) append_repr(out, entry.key);
    if (value.is(Kind::Dict)) out.add(": ");
    if (value.is(Kind::Items)) out.add(", ");
    if (!value.is(Kind::Keys)) append_repr(out, entry.value);
    if (value.is(Kind::Items)) out.add(')');
  }
}

void append_items(TextBuilder& out, const Value& value) {
  bool first = true;
  for (const Value& item : value.as_items()) {
    if (!std::exchange(first, false)) out.add(", ");
    append_repr(out, item);
  }
}

void append_range(TextBuilder& out, const Range& range) {
  out.add(fmt::format("range({}, {}", range.start, range.stop));
  if (range.step != 1) out.add(fmt::format(", {}", range.step));
  out.add(')');
}

void append_namespace(TextBuilder& out, const Namespace& space) {
  out.add("<Namespace {");
  bool first = true;
  for (const Namespace::Attribute& attribute : space.attributes) {
    if (!std::exchange(first, false)) out.add(", ");
    out.add(quoted(attribute.name));
    out.add(": ");
    append_repr(out, attribute.value);
  }
  out.add("}>");
}

void append_macro(TextBuilder& out, const Macro& macro) {
  out.add("<Macro ");
  out.add(macro.name.empty() ? "anonymous" : quoted(macro.name));
  out.add('>');
}

void append_loop(TextBuilder& out, LoopState& loop) {
  out.add(fmt::format("<LoopContext {}/{}>", loop.index0 + 1, loop.length(out.budget())));
}

/// What holds no other values. Not inlined: append_repr() calls itself thousands of times, and each level
/// would keep room for the temporaries here.
[[gnu::noinline]] void append_single(TextBuilder& out, const Value& value) {
  switch (value.kind()) {
    case Kind::Undefined:
      return out.add("Undefined");
    case Kind::None:
      return out.add("None");
    case Kind::Bool:
      return out.add(value.as_integer() ? "True" : "False");
    case Kind::Int:
    case Kind::BigInt:
      return out.add(decimal_digits(value));
    case Kind::Float:
      out.budget().spend(kFloatReprCost);
      return out.add(float_repr(value.as_number()));
    case Kind::Str:
      out.budget().spend_letters(value.as_text().size());
      return out.add(value.is_markup() ? "Markup(" + quoted(value.as_text()) + ")" : quoted(value.as_text()));
    case Kind::Range:
      return append_range(out, value.as<Range>());
    case Kind::Macro:
      return append_macro(out, value.as<Macro>());
    case Kind::Loop:
      return append_loop(out, value.as<LoopState>());
    default:
      out.budget().fail(
          fmt::format("a {} is printed: in Python the text is an address", type_name(value.kind())));
  }
}

}  // namespace

std::string quoted(std::string_view text) {
  const bool single = text.find('\'') == text.npos || text.find('"') != text.npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c == static_cast<char32_t>(quote)) out += '\\';
    append_escaped(c, out);
  }
  return out + quote;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, std::fabs(value), std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<size_t>(end - buffer));
  const size_t e = shortest.find('e');
  std::string digits(1, shortest[0]);
  if (e > 2) digits += shortest.substr(2, e - 2);
  int exponent = 0;
  std::from_chars(shortest.data() + e + (shortest[e + 1] == '+' ? 2 : 1), end, exponent);
  const std::string sign = std::signbit(value) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    const std::string fraction = digits.size() > 1 ? "." + digits.substr(1) : "";
    return fmt::format("{}{}{}e{}{:02}", sign, digits[0], fraction, exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto n_whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() < n_whole) digits.resize(n_whole, '0');
  return sign + digits.substr(0, n_whole) + "." + (digits.size() > n_whole ? digits.substr(n_whole) : "0");
}

void append_repr(TextBuilder& out, const Value& value) {
  const Budget::Deeper deeper(out.budget());
  out.budget().spend(Budget::kStep);
  switch (value.kind()) {
    case Kind::List:
      out.add('['), append_items(out, value);
      return out.add(']');
    case Kind::Tuple:
      out.add('('), append_items(out, value);
      return out.add(value.as_items().size() == 1 ? ",)" : ")");
    case Kind::Dict:
      out.add('{'), append_entries(out, value);
      return out.add('}');
    case Kind::Keys:
    case Kind::Values:
    case Kind::Items:
      out.add(type_name(value.kind())), out.add("(["), append_entries(out, value);
      return out.add("])");
    case Kind::Namespace:
      return append_namespace(out, value.as<Namespace>());
    default:
      append_single(out, value);
  }
}

void append_text(TextBuilder& out, const Value& value) {
  if (value.is(Kind::Str)) {
    out.add(value.as_text());
  } else if (!value.is(Kind::Undefined)) {
    append_repr(out, value);
  }
}

std::string_view to_text(Budget& budget, const Value& value) {
  if (value.is(Kind::Str)) return value.as_text();
  TextBuilder out(budget);
  append_text(out, value);
  return budget.copy(out.view());
}

}  // namespace sw::jinja
