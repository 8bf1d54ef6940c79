// SPDX-License-Identifier: MIT
// The methods of str. Each gets the text itself as its first argument.
#include <algorithm>
#include <fmt/core.h>

#include "jinja/builtins/format.h"
#include "jinja/builtins/native_tables.h"
#include "jinja/values/iterator.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"
#include "text/escape_html.h"

namespace sw::jinja {
namespace {

/// The parts of a text, Markup where the text is.
Value text_list(Budget& budget, const std::vector<std::string_view>& parts, bool markup) {
  budget.spend(static_cast<int64_t>(parts.size()));
  const std::span<Value> items = budget.make_array<Value>(parts.size());
  std::transform(parts.begin(), parts.end(), items.begin(),
                 [&](std::string_view part) { return Value::text(part, markup); });
  return Value::sequence(Kind::List, items);
}

template <Side side>
Value strip_text(Budget& budget, const Arguments& a) {
  return stripped(budget, a[0], a[1], side);
}

using Split = std::vector<std::string_view> (*)(std::string_view, std::optional<std::string_view>, long);
template <Split split>
Value split_text(Budget& budget, const Arguments& a) {
  const auto separator = optional_text(budget, a[1]);
  if (separator && separator->empty()) budget.fail("empty separator");
  if (separator) {
    budget.spend_search(a[0].as_text(), *separator);
  } else {
    budget.spend(static_cast<int64_t>(a[0].as_text().size() / 2));
  }
  return text_list(budget, split(a[0].as_text(), separator, integer_argument(budget, a[2], -1)),
                   a[0].is_markup());
}

Value split_into_lines(Budget& budget, const Arguments& a) {
  budget.spend(static_cast<int64_t>(a[0].as_text().size() / 2));
  return text_list(budget, split_lines(a[0].as_text(), is_true(a[1])), a[0].is_markup());
}

template <bool from_right>
Value partition(Budget& budget, const Arguments& a) {
  const std::string_view text = a[0].as_text(), separator = text_argument(budget, a[1]);
  if (separator.empty()) budget.fail("empty separator");
  budget.spend_search(text, separator);
  const size_t at = from_right ? find_last(text, separator) : text.find(separator);
  const bool found = at != text.npos;
  const std::string_view whole = text, none;
  const std::span<Value> parts = budget.make_array<Value>(3);
  const auto part = [&](std::string_view s) { return Value::text(s, a[0].is_markup()); };
  parts[0] = part(found ? text.substr(0, at) : from_right ? none : whole);
  parts[1] = part(found ? separator : none);
  parts[2] = part(found ? text.substr(at + separator.size()) : from_right ? whole : none);
  return Value::sequence(Kind::Tuple, parts);
}

Value replace_text(Budget& budget, const Arguments& a) {
  const std::string_view to = text_argument(budget, a[2]);
  const bool escapes = a[0].is_markup() && !a[2].is_markup();
  return replaced(budget, a[0].as_text(), text_argument(budget, a[1]),
                  escapes ? escape_html(to) : std::string(to), integer_argument(budget, a[3], -1),
                  a[0].is_markup());
}

Value join(Budget& budget, const Arguments& a) {
  const bool markup = a[0].is_markup();
  TextBuilder out(budget);
  Iterator iterator(budget, a[1]);
  bool first = true, any_markup = markup;
  for (Value item; iterator.next(budget, item);) {
    if (!std::exchange(first, false)) out.add(a[0].as_text());
    if (!item.is(Kind::Str) && !markup) {
      budget.fail(fmt::format("sequence item: expected str instance, {} found", type_name(item.kind())));
    }
    if (markup && !item.is_markup()) {
      out.add(escape_html(to_text(budget, item)));
    } else {
      out.add(item.as_text());
    }
  }
  return out.value(any_markup);
}

/// text[start:end] of the arguments behind `first`, and where it begins.
struct Part {
  std::string_view text;
  size_t begin = 0;  ///< bytes
  bool within = true;
};
Part part_of(Budget& budget, const Arguments& a, size_t first) {
  const std::string_view text = a[0].as_text();
  budget.spend_bytes(text.size());
  if (a[first].is(Kind::Missing) && a[first + 1].is(Kind::Missing)) return {text};
  const auto n = static_cast<int64_t>(text_length(text));
  const auto bound = [&](const Value& v, int64_t otherwise) {
    const int64_t i = v.is(Kind::None) ? otherwise : integer_argument(budget, v, otherwise);
    return i < 0 ? std::max<int64_t>(i + n, 0) : i;
  };
  const int64_t start = bound(a[first], 0), end = std::min(bound(a[first + 1], n), n);
  if (start > n || start > end) return {.text = "", .begin = text.size(), .within = false};
  const size_t begin = byte_offset(text, static_cast<size_t>(start));
  return {text.substr(begin, byte_offset(text.substr(begin), static_cast<size_t>(end - start))), begin};
}

template <bool at_end>
Value has_affix(Budget& budget, const Arguments& a) {
  const Part part = part_of(budget, a, 2);
  const auto matches = [&](const Value& affix) {
    const std::string_view text = text_argument(budget, affix);
    return part.within && (at_end ? part.text.ends_with(text) : part.text.starts_with(text));
  };
  if (!a[1].is(Kind::Tuple)) return Value(matches(a[1]));
  return Value(std::ranges::any_of(a[1].as_items(), matches));
}

template <bool from_right, bool must_be_there>
Value find_part(Budget& budget, const Arguments& a) {
  const Part part = part_of(budget, a, 2);
  const std::string_view wanted = text_argument(budget, a[1]);
  budget.spend_search(part.text, wanted);
  const size_t at = from_right ? find_last(part.text, wanted) : part.text.find(wanted);
  if (at != part.text.npos && part.within) {
    return Value(static_cast<int64_t>(text_length(a[0].as_text().substr(0, part.begin + at))));
  }
  if (must_be_there) budget.fail("substring not found");
  return Value(-1);
}

Value count(Budget& budget, const Arguments& a) {
  const Part part = part_of(budget, a, 2);
  const std::string_view wanted = text_argument(budget, a[1]);
  budget.spend_search(part.text, wanted);
  return Value(part.within ? static_cast<int64_t>(count_replaced(part.text, wanted, -1)) : 0);
}

Value remove_prefix(Budget& budget, const Arguments& a) {
  std::string_view text = a[0].as_text();
  const std::string_view prefix = text_argument(budget, a[1]);
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return Value::text(text, a[0].is_markup());
}

Value remove_suffix(Budget& budget, const Arguments& a) {
  std::string_view text = a[0].as_text();
  const std::string_view suffix = text_argument(budget, a[1]);
  if (text.ends_with(suffix)) text.remove_suffix(suffix.size());
  return Value::text(text, a[0].is_markup());
}

/// How much is missing to a width.
int64_t n_missing(Budget& budget, const Arguments& a) {
  budget.spend_bytes(a[0].as_text().size());
  const int64_t width = integer_argument(budget, a[1], 0);
  if (width > static_cast<int64_t>(kMaxOutputBytes)) budget.fail("a width is too large");
  return std::max<int64_t>(width - static_cast<int64_t>(text_length(a[0].as_text())), 0);
}

enum class Align { Left, Right, Center };
template <Align align>
Value justify(Budget& budget, const Arguments& a) {
  const std::string_view filler = text_argument(budget, a[2], " ");
  if (text_length(filler) != 1) budget.fail("The fill character must be exactly one character long");
  const int64_t n = n_missing(budget, a), width = integer_argument(budget, a[1], 0);
  const int64_t n_left = align == Align::Left ? 0 : align == Align::Right ? n : n / 2 + (n & width & 1);
  TextBuilder out(budget);
  for (int64_t i = 0; i < n_left; ++i) budget.spend(), out.add(filler);
  out.add(a[0].as_text());
  for (int64_t i = n_left; i < n; ++i) budget.spend(), out.add(filler);
  return out.value(a[0].is_markup());
}

Value zero_fill(Budget& budget, const Arguments& a) {
  std::string_view text = a[0].as_text();
  TextBuilder out(budget);
  const int64_t n = n_missing(budget, a);
  if (text.starts_with('-') || text.starts_with('+')) {
    out.add(text[0]);
    text.remove_prefix(1);
  }
  out.add('0', static_cast<size_t>(n));
  out.add(text);
  return out.value(a[0].is_markup());
}

Value expand_tabs(Budget& budget, const Arguments& a) {
  const int64_t size = integer_argument(budget, a[1], 8);
  if (size > 1000) budget.fail("a tabulator is too wide");
  budget.spend(static_cast<int64_t>(a[0].as_text().size() / 2));
  TextBuilder out(budget);
  int64_t column = 0;
  for (const char c : a[0].as_text()) {
    if (c == '\t') {
      const int64_t n = size > 0 ? size - column % size : 0;
      out.add(' ', static_cast<size_t>(n));
      column += n;
      continue;
    }
    out.add(c);
    const bool line_ends = c == '\n' || c == '\r', continues = (static_cast<unsigned char>(c) & 0xc0) == 0x80;
    column = line_ends ? 0 : column + !continues;
  }
  return out.value(a[0].is_markup());
}

template <TextClass what>
Value is_class(Budget& budget, const Arguments& a) {
  budget.spend_letters(a[0].as_text().size());
  return Value(is_text(what, a[0].as_text()));
}

Value format(Budget& budget, const Arguments& a) {
  return format_braces(budget, a[0], {a.positional.subspan(1), a.keywords});
}

Value format_map(Budget& budget, const Arguments& a) {
  if (!a[1].is(Kind::Dict)) budget.fail("format_map() needs a dict");
  std::vector<Keyword> keywords;
  for (const DictEntry& entry : a[1].as<Dict>().entries) {
    if (entry.key.is(Kind::Str)) keywords.push_back({entry.key.as_text(), entry.value});
  }
  budget.spend(static_cast<int64_t>(keywords.size()));
  return format_braces(budget, a[0], {.positional = {}, .keywords = keywords});
}

constexpr Native kMethods[] = {
    {"strip", strip_text<Side::Both>, "/self chars?"},
    {"lstrip", strip_text<Side::Left>, "/self chars?"},
    {"rstrip", strip_text<Side::Right>, "/self chars?"},
    {"split", split_text<split>, "self sep? maxsplit?"},
    {"rsplit", split_text<split_right>, "self sep? maxsplit?"},
    {"splitlines", split_into_lines, "self keepends?"},
    {"startswith", has_affix<false>, "/self prefix start? end?"},
    {"endswith", has_affix<true>, "/self suffix start? end?"},
    {"replace", replace_text, "/self old new count?"},
    {"upper", change_letters<to_upper>},
    {"lower", change_letters<to_lower>},
    {"casefold", change_letters<casefold>},
    {"title", change_letters<to_title>},
    {"capitalize", change_letters<capitalize>},
    {"swapcase", change_letters<swap_case>},
    {"join", join, "/self iterable"},
    {"find", find_part<false, false>, "/self sub start? end?"},
    {"rfind", find_part<true, false>, "/self sub start? end?"},
    {"index", find_part<false, true>, "/self sub start? end?"},
    {"rindex", find_part<true, true>, "/self sub start? end?"},
    {"count", count, "/self sub start? end?"},
    {"partition", partition<false>, "/self sep"},
    {"rpartition", partition<true>, "/self sep"},
    {"removeprefix", remove_prefix, "/self prefix"},
    {"removesuffix", remove_suffix, "/self suffix"},
    {"ljust", justify<Align::Left>, "/self width fillchar?"},
    {"rjust", justify<Align::Right>, "/self width fillchar?"},
    {"center", justify<Align::Center>, "/self width fillchar?"},
    {"zfill", zero_fill, "/self width"},
    {"expandtabs", expand_tabs, "self tabsize?"},
    {"format", format, "..."},
    {"format_map", format_map, "/self mapping"},
    {"isalpha", is_class<TextClass::Alpha>},
    {"isdigit", is_class<TextClass::Digit>},
    {"isdecimal", is_class<TextClass::Decimal>},
    {"isnumeric", is_class<TextClass::Numeric>},
    {"isalnum", is_class<TextClass::Alnum>},
    {"isspace", is_class<TextClass::Space>},
    {"islower", is_class<TextClass::Lower>},
    {"isupper", is_class<TextClass::Upper>},
    {"istitle", is_class<TextClass::Title>},
    {"isascii", is_class<TextClass::Ascii>},
    {"isidentifier", is_class<TextClass::Identifier>},
    {"isprintable", is_class<TextClass::Printable>},
    {"encode", not_offered},
    {"maketrans", not_offered},
    {"translate", not_offered},
};

}  // namespace

Value stripped(Budget& budget, const Value& value, const Value& chars, Side side) {
  const std::string_view text = value.as_text();
  const auto wanted = optional_text(budget, chars);
  budget.spend_bytes(text.size() * (wanted ? wanted->size() : 1));
  const std::string_view rest = strip(text, wanted, side);
  budget.spend_letters(text.size() - rest.size());
  return Value::text(rest, value.is_markup());
}

Value replaced(Budget& budget, std::string_view text, std::string_view from, std::string_view to, long n_max,
               bool markup) {
  budget.spend_search(text, from);
  const size_t n = count_replaced(text, from, n_max);
  if (n > 0 && to.size() > kMaxOutputBytes / n) budget.fail("a text with replacements is too long");
  budget.spend(static_cast<int64_t>(2 * n));
  return budget.text(replace(text, from, to, n_max), markup);
}

std::span<const Native> text_methods() { return kMethods; }

}  // namespace sw::jinja
