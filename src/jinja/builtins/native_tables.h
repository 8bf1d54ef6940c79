// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "jinja/builtins/native.h"
#include "jinja/values/operations.h"
#include "jinja/values/str.h"

namespace sw::jinja {

// Filters by what they work on.
std::span<const Native> text_filters();
std::span<const Native> number_filters();
std::span<const Native> item_filters();   ///< of anything that can be iterated
std::span<const Native> order_filters();  ///< likewise, those that compare
std::span<const Native> lazy_filters();   ///< likewise, those that give generators

std::span<const Native> value_tests();

std::span<const Native> text_methods();
std::span<const Native> dict_methods();
std::span<const Native> list_methods();
std::span<const Native> tuple_methods();
std::span<const Native> loop_methods();

/// The path "a.0.b" of |map(attribute=...) and its like; an integer or None will do.
class AttributePath {
 public:
  AttributePath() = default;
  AttributePath(Budget& budget, const Value& path);
  /// `otherwise`, unless Missing or None, stands for what is undefined.
  Value get(Budget& budget, const Value& item, const Value& otherwise = {}) const;

 private:
  std::span<const Value> parts_ = {};
};

/// A filter or method for each function of text.h that changes letters.
template <std::string (*change)(std::string_view)>
Value change_letters(Budget& budget, const Arguments& a) {
  const std::string_view text = to_text(budget, a[0]);
  budget.spend_letters(text.size());
  return budget.text(change(text), a[0].is_markup());
}

/// str.strip of text, which stays Markup where it is.
Value stripped(Budget& budget, const Value& text, const Value& chars, Side side);
/// str.replace, at most `n_max` times where it is not negative.
Value replaced(Budget& budget, std::string_view text, std::string_view from, std::string_view to, long n_max,
               bool markup);

/// Text in small letters, for comparisons that ignore the case; everything else as it is.
Value ignore_case(Budget& budget, const Value& value);

}  // namespace sw::jinja
