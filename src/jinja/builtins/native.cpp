// SPDX-License-Identifier: MIT
#include "jinja/builtins/native.h"

#include <array>
#include <fmt/core.h>

#include "base/error.h"
#include "jinja/values/operations.h"

namespace sw::jinja {
namespace {

constexpr size_t kMaxParameters = 8;

/// The first word of `words`, which loses it; without its "?", which sets `optional`.
std::string_view take_word(std::string_view& words, bool& optional) {
  const size_t end = std::min(words.find(' '), words.size());
  std::string_view word = words.substr(0, end);
  words.remove_prefix(std::min(end + 1, words.size()));
  optional = word.ends_with('?');
  if (optional) word.remove_suffix(1);
  return word;
}

class Binder {
 public:
  Binder(Budget& budget, const Native& native) : budget_(budget), native_(native) {}

  Value call(const Value& self, const Arguments& arguments) {
    if (!self.is(Kind::Missing)) values_[n_++] = self;
    std::string_view words = native_.parameters;
    const bool by_position = words.starts_with('/');
    if (by_position) words.remove_prefix(1);
    budget_.spend_scan(kMaxParameters * arguments.keywords.size());
    size_t n_given = 0, n_used = 0;
    for (size_t i = 0; !words.empty(); ++i) {
      bool optional = false;
      const std::string_view name = take_word(words, optional);
      if (i < n_) continue;  // self
      SW_ASSERT(n_ < kMaxParameters);
      const Keyword* keyword = by_position ? nullptr : find(arguments, name);
      if (n_given < arguments.positional.size()) {
        if (keyword) fail(fmt::format("got two values for '{}'", name));
        values_[n_] = arguments.positional[n_given++];
      } else if (keyword) {
        values_[n_] = keyword->value;
        ++n_used;
      } else if (!optional) {
        fail(fmt::format("lacks its argument '{}'", name));
      }
      ++n_;
    }
    if (n_given < arguments.positional.size()) fail("got too many arguments");
    if (n_used < arguments.keywords.size()) fail("got an argument that it does not know");
    return native_.call(budget_, {.positional = std::span(values_).first(n_)});
  }

 private:
  static const Keyword* find(const Arguments& arguments, std::string_view name) {
    for (const Keyword& keyword : arguments.keywords) {
      if (keyword.name == name) return &keyword;
    }
    return nullptr;
  }
  [[noreturn]] void fail(std::string_view what) const {
    budget_.fail(fmt::format("{}() {}", native_.name, what));
  }

  Budget& budget_;
  const Native& native_;
  std::array<Value, kMaxParameters> values_ = {};
  size_t n_ = 0;
};

}  // namespace

Value not_offered(Budget& budget, const Arguments&) { budget.fail("this is not offered to chat templates"); }

Value call_native(Budget& budget, const Native& native, const Value& self, const Arguments& arguments) {
  budget.spend(Budget::kStep);
  if (native.call == not_offered)
    budget.fail(fmt::format("'{}' is not offered to chat templates", native.name));
  if (native.parameters != "...") return Binder(budget, native).call(self, arguments);
  if (self.is(Kind::Missing)) return native.call(budget, arguments);
  const std::span<Value> all = budget.make_array<Value>(arguments.positional.size() + 1);
  all[0] = self;
  std::copy(arguments.positional.begin(), arguments.positional.end(), all.begin() + 1);
  return native.call(budget, {.positional = all, .keywords = arguments.keywords});
}

int64_t integer_argument(Budget& budget, const Value& value, int64_t otherwise) {
  if (value.is(Kind::Missing)) return otherwise;
  if (value.is(Kind::Undefined)) fail_undefined(budget, value);
  if (value.is(Kind::BigInt)) budget.fail("an integer here is beyond 64 bits");
  if (!is_integer(value)) {
    budget.fail(fmt::format("an integer is needed, not {}", type_name(value.kind())));
  }
  return value.as_integer();
}

std::string_view text_argument(Budget& budget, const Value& value, std::string_view otherwise) {
  if (value.is(Kind::Missing)) return otherwise;
  if (value.is(Kind::Undefined)) fail_undefined(budget, value);
  if (!value.is(Kind::Str)) budget.fail(fmt::format("a string is needed, not {}", type_name(value.kind())));
  return value.as_text();
}

std::optional<std::string_view> optional_text(Budget& budget, const Value& value) {
  if (value.is(Kind::Missing, Kind::None)) return {};
  return text_argument(budget, value);
}

}  // namespace sw::jinja
