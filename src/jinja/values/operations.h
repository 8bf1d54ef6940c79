// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/values/budget.h"
#include "jinja/values/value.h"

/// What Python's operators and built-in functions do with values. All throw sw::Error where Python raises.
namespace sw::jinja {

/// "'x' is undefined", and its like.
[[noreturn]] void fail_undefined(const Budget& budget, const Value& undefined);

bool is_true(const Value& value);
/// ==
bool equal(Budget& budget, const Value& a, const Value& b);
/// <; fails where Python knows no order.
bool less(Budget& budget, const Value& a, const Value& b);
enum class Order { Less, LessEqual, Greater, GreaterEqual };
bool compare(Budget& budget, Order order, const Value& a, const Value& b);
/// item in container
bool contains(Budget& budget, const Value& container, const Value& item);
/// May be a key of a dict.
bool is_hashable(const Value& value);

enum class Arithmetic { Add, Subtract, Multiply, Divide, FloorDivide, Modulo, Power };
Value arithmetic(Budget& budget, Arithmetic op, const Value& a, const Value& b);
Value negate(Budget& budget, const Value& value);

/// len(): nothing where the type has none.
std::optional<int64_t> length(const Value& value);
/// Null where there is no such key.
const Value* find(Budget& budget, const Dict& dict, const Value& key);
const Value* find(Budget& budget, const Dict& dict, std::string_view key);
/// Entries in order; a key that comes again replaces the value.
class DictBuilder {
 public:
  explicit DictBuilder(Budget& budget) : budget_(budget) {}
  void set(const Value& key, const Value& value);
  Value value() const;

 private:
  Budget& budget_;
  std::vector<DictEntry> entries_ = {};
};

/// str(value). A view of it, where it is text.
std::string_view to_text(Budget& budget, const Value& value);
void append_text(TextBuilder& out, const Value& value);
/// repr(value)
void append_repr(TextBuilder& out, const Value& value);
/// repr of a float: "1.0", "1e+16", "inf"; callers spend the cost.
std::string float_repr(double value);
constexpr int64_t kFloatReprCost = 30 * Budget::kStep;
/// The text in quotes, as Python writes it in messages.
std::string quoted(std::string_view text);

struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false;
  std::optional<std::string> indent = {};
  std::string item_separator = ", ", key_separator = ": ";
};
/// json.dumps(value)
void append_json(TextBuilder& out, const Value& value, const JsonStyle& style);

/// "%s" % values: a tuple gives its items, a dict its values by name, anything else itself.
Value format_percent(Budget& budget, const Value& format, const Value& values);

}  // namespace sw::jinja
