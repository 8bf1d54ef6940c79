// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "jinja/values/big_integer.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {
namespace {

std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

void append_unicode_escape(uint32_t code, std::string& out) {
  if (code >= 0x10000) {
    code -= 0x10000;
    append_hex("\\u", 0xd800 + (code >> 10), 4, out);
    append_hex("\\u", 0xdc00 + (code & 0x3ff), 4, out);
  } else {
    append_hex("\\u", code, 4, out);
  }
}

std::string json_text(std::string_view text, bool ensure_ascii) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    switch (c) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      case '\b':
        out += "\\b";
        continue;
      case '\f':
        out += "\\f";
        continue;
      default:
        break;
    }
    if (c < 0x20 || (ensure_ascii && c >= 0x7f)) {
      append_unicode_escape(c, out);
    } else {
      out += text.substr(begin, at - begin);
    }
  }
  return out + '"';
}

class JsonWriter {
 public:
  JsonWriter(TextBuilder& out, const JsonStyle& style) : out_(out), budget_(out.budget()), style_(style) {}

  void write(const Value& value) {
    const Budget::Deeper deeper(budget_);
    budget_.spend(Budget::kStep);
    switch (value.kind()) {
      case Kind::List:
      case Kind::Tuple:
        return write_items('[', value.as_items(), ']', [&](const Value& item) { write(item); });
      case Kind::Dict:
        return write_dict(value.as<Dict>());
      default:
        write_single(value);
    }
  }

 private:
  /// What holds no other values. Not inlined: write() calls itself thousands of times, and each level would
  /// keep room for the temporaries here.
  [[gnu::noinline]] void write_single(const Value& value) {
    switch (value.kind()) {
      case Kind::None:
        return out_.add("null");
      case Kind::Bool:
        return out_.add(value.as_integer() ? "true" : "false");
      case Kind::Int:
      case Kind::BigInt:
        return out_.add(decimal_digits(value));
      case Kind::Float:
        budget_.spend(kFloatReprCost);
        return out_.add(json_number(value.as_number()));
      case Kind::Str:
        return write_text(value.as_text());
      default:
        budget_.fail(fmt::format("Object of type {} is not JSON serializable", type_name(value.kind())));
    }
  }

  void write_text(std::string_view text) {
    budget_.spend(static_cast<int64_t>(text.size()));
    out_.add(json_text(text, style_.ensure_ascii));
  }

  void write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::Str:
        return write_text(key.as_text());
      case Kind::None:
        return out_.add("\"null\"");
      case Kind::Bool:
        return out_.add(key.as_integer() ? "\"true\"" : "\"false\"");
      case Kind::Int:
      case Kind::BigInt:
        return out_.add("\"" + decimal_digits(key) + "\"");
      case Kind::Float:
        return out_.add("\"" + json_number(key.as_number()) + "\"");
      default:
        budget_.fail(
            fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key.kind())));
    }
  }

  void write_dict(const Dict& dict) {
    const auto entry = [&](const DictEntry& e) {
      write_key(e.key);
      out_.add(style_.key_separator);
      write(e.value);
    };
    if (!style_.sort_keys) return write_items('{', dict.entries, '}', entry);
    std::vector<DictEntry> sorted(dict.entries.begin(), dict.entries.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](const DictEntry& a, const DictEntry& b) { return less(budget_, a.key, b.key); });
    write_items('{', std::span<const DictEntry>(sorted), '}', entry);
  }

  template <class Item, class F>
  void write_items(char open, std::span<const Item> items, char close, F&& write_one) {
    out_.add(open);
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.add(style_.item_separator);
      new_line();
      write_one(items[i]);
    }
    --level_;
    if (!items.empty()) new_line();
    out_.add(close);
  }

  void new_line() {
    if (!style_.indent) return;
    out_.add('\n');
    for (int i = 0; i < level_; ++i) out_.add(*style_.indent);
  }

  TextBuilder& out_;
  Budget& budget_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

void append_json(TextBuilder& out, const Value& value, const JsonStyle& style) {
  JsonWriter(out, style).write(value);
}

}  // namespace sw::jinja
