// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <fmt/core.h>
#include <string_view>

#include "jinja/values/budget.h"
#include "jinja/values/str.h"

namespace sw::jinja {

constexpr int kMaxFormatWidth = 10'000, kMaxFormatPrecision = 400;

/// Reads "%(name)-08.3f" and "{name.part[0]!r:>8}", one directive after the other.
class FormatReader {
 public:
  FormatReader(Budget& budget, std::string_view format) : budget_(&budget), rest_(format) {}

  bool at_end() const { return rest_.empty(); }
  char peek() const { return rest_.empty() ? '\0' : rest_[0]; }
  char take() {
    if (rest_.empty()) budget_->fail("a format ends too early");
    const char c = rest_[0];
    rest_.remove_prefix(1);
    return c;
  }
  bool skip(char c) { return peek() == c && !rest_.empty() ? (take(), true) : false; }
  /// What stands before the first of `marks`, or all the rest.
  std::string_view take_until(std::string_view marks) {
    const std::string_view text = rest_.substr(0, std::min(rest_.find_first_of(marks), rest_.size()));
    rest_.remove_prefix(text.size());
    return text;
  }
  /// -1 where no digits stand here; fails where they say more than `limit`.
  int take_number(int limit) {
    int number = -1;
    while (peek() >= '0' && peek() <= '9') {
      number = std::max(number, 0) * 10 + (take() - '0');
      if (number > limit) budget_->fail(fmt::format("a width or precision above {} in a format", limit));
    }
    return number;
  }
  std::string_view take_code_point() {
    size_t n = 0;
    next_code_point(rest_, n);
    const std::string_view c = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return c;
  }
  std::string_view rest() const { return rest_; }

 private:
  Budget* budget_;
  std::string_view rest_;
};

}  // namespace sw::jinja
