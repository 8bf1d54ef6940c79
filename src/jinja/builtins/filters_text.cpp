// SPDX-License-Identifier: MIT
// Filters that make text of what they get.
#include <fmt/core.h>

#include "jinja/builtins/format.h"
#include "jinja/builtins/native_tables.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"
#include "text/escape_html.h"

namespace sw::jinja {
namespace {

/// Unlike str.title, a word begins only behind white space and - ( { [ <.
std::string title_words(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto is_gap = [&](size_t& i) {
      const char32_t c = next_code_point(text, i);
      return is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != text.npos);
    };
    size_t end = at, next = at;
    while (end < text.size() && is_gap(next)) end = next;
    out += text.substr(at, end - at);
    at = next = end;
    while (end < text.size() && !is_gap(next)) end = next;
    const size_t first = byte_offset(text.substr(at, end - at), 1);
    out += to_upper(text.substr(at, first)) + to_lower(text.substr(at + first, end - at - first));
    at = end;
  }
  return out;
}

Value title(Budget& budget, const Arguments& a) {
  const std::string_view text = to_text(budget, a[0]);
  budget.spend_letters(2 * text.size());
  return budget.text(title_words(text));  // no Markup: Jinja joins it anew
}

Value trim(Budget& budget, const Arguments& a) {
  return stripped(budget, Value::text(to_text(budget, a[0]), a[0].is_markup()), a[1], Side::Both);
}

Value string(Budget& budget, const Arguments& a) {
  return a[0].is(Kind::Str) ? a[0] : Value::text(to_text(budget, a[0]));
}

Value safe(Budget& budget, const Arguments& a) { return Value::text(to_text(budget, a[0]), true); }

Value force_escape(Budget& budget, const Arguments& a) {
  const std::string_view text = to_text(budget, a[0]);
  budget.spend(static_cast<int64_t>(text.size() / 3));
  return budget.text(escape_html(text), true);
}

Value escape(Budget& budget, const Arguments& a) { return a[0].is_markup() ? a[0] : force_escape(budget, a); }

Value replace_text(Budget& budget, const Arguments& a) {
  const int64_t n_max = a[3].is(Kind::None) ? -1 : integer_argument(budget, a[3], -1);
  return replaced(budget, to_text(budget, a[0]), to_text(budget, a[1]), to_text(budget, a[2]), n_max, false);
}

Value indent(Budget& budget, const Arguments& a) {
  const bool markup = a[0].is_markup();
  const std::string_view text = text_argument(budget, a[0]);
  const int64_t width = a[1].is(Kind::Str) ? 0 : integer_argument(budget, a[1], 4);
  if (width > 10'000) budget.fail("indent() is too wide");
  std::string spaces = a[1].is(Kind::Str)
                           ? std::string(a[1].as_text())
                           : std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  const bool first = is_true(a[2]), blank = is_true(a[3]);
  TextBuilder out(budget);
  const std::string with_end = std::string(text) + "\n";
  bool at_first = true;
  for (const std::string_view line : split_lines(with_end, false)) {
    budget.spend(Budget::kStep);
    if (!at_first) out.add('\n');
    if (at_first ? first : blank || !line.empty()) out.add(spaces);
    out.add(line);
    at_first = false;
  }
  return out.value(markup);
}

Value center(Budget& budget, const Arguments& a) {
  const std::string_view text = to_text(budget, a[0]);
  const Arguments method_arguments{.positional = a.positional.subspan(1, a[1].is(Kind::Missing) ? 0 : 1)};
  const Value width[] = {Value(80)};
  return call_native(budget, *find_method(Kind::Str, "center"), Value::text(text, a[0].is_markup()),
                     a[1].is(Kind::Missing) ? Arguments{.positional = width} : method_arguments);
}

Value truncate(Budget& budget, const Arguments& a) {
  const std::string_view end = text_argument(budget, a[3], "...");
  const int64_t most = integer_argument(budget, a[1], 255);
  const int64_t leeway = a[4].is(Kind::None) ? 5 : integer_argument(budget, a[4], 5);
  const auto n_end = static_cast<int64_t>(text_length(end));
  if (most < n_end || leeway < 0) budget.fail("truncate() needs length >= len(end) and leeway >= 0");
  const std::optional<int64_t> n = length(a[0]);
  if (n && *n - leeway <= most) return a[0];
  const std::string_view text = text_argument(budget, a[0]);
  budget.spend_bytes(text.size());
  std::string_view kept = text.substr(0, byte_offset(text, static_cast<size_t>(most - n_end)));
  if (!is_true(a[2])) kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  return budget.concat(kept, end);
}

Value word_count(Budget& budget, const Arguments& a) {
  const std::string_view text = to_text(budget, a[0]);
  budget.spend_letters(text.size());
  int64_t n = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    const bool word = c == '_' || is_text(TextClass::Alnum, text.substr(begin, at - begin));
    n += word && !in_word;
    in_word = word;
  }
  return Value(n);
}

Value format_filter(Budget& budget, const Arguments& a) {
  if (a.positional.size() > 1 && !a.keywords.empty()) {
    budget.fail("format() takes positional or named arguments, not both");
  }
  const Value format = Value::text(to_text(budget, a[0]), a[0].is_markup());
  if (a.keywords.empty())
    return format_percent(budget, format, Value::sequence(Kind::Tuple, a.positional.subspan(1)));
  DictBuilder named(budget);
  for (const Keyword& keyword : a.keywords) named.set(Value::text(keyword.name), keyword.value);
  return format_percent(budget, format, named.value());
}

std::optional<std::string> json_indent(Budget& budget, const Value& value) {
  constexpr int64_t kMostSpaces = 100;
  if (value.is(Kind::Missing, Kind::None)) return {};
  if (value.is(Kind::Str)) return std::string(value.as_text());
  const int64_t width = integer_argument(budget, value, 0);
  if (width > kMostSpaces) budget.fail("tojson() is told to indent too far");
  return std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
}

/// As transformers defines it, not as Jinja does: nothing is escaped for HTML.
Value to_json(Budget& budget, const Arguments& a) {
  JsonStyle style;
  style.ensure_ascii = is_true(a[1]);
  style.indent = json_indent(budget, a[2]);
  if (style.indent) style.item_separator = ",";
  if (!a[3].is(Kind::Missing, Kind::None)) {
    if (!is_sequence(a[3]) || a[3].as_items().size() != 2) budget.fail("tojson() needs two separators");
    style.item_separator = text_argument(budget, a[3].as_items()[0]);
    style.key_separator = text_argument(budget, a[3].as_items()[1]);
  }
  style.sort_keys = is_true(a[4]);
  TextBuilder out(budget);
  append_json(out, a[0], style);
  return out.value();
}

constexpr Native kFilters[] = {
    {"upper", change_letters<to_upper>},
    {"lower", change_letters<to_lower>},
    {"capitalize", change_letters<capitalize>},
    {"title", title},
    {"trim", trim, "value chars?"},
    {"string", string},
    {"safe", safe},
    {"escape", escape},
    {"e", escape},
    {"forceescape", force_escape},
    {"replace", replace_text, "value old new count?"},
    {"indent", indent, "value width? first? blank?"},
    {"center", center, "value width?"},
    {"truncate", truncate, "value length? killwords? end? leeway?"},
    {"wordcount", word_count},
    {"format", format_filter, "..."},
    {"tojson", to_json, "value ensure_ascii? indent? separators? sort_keys?"},
};

}  // namespace

std::span<const Native> text_filters() { return kFilters; }

}  // namespace sw::jinja
