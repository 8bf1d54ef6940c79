// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>

#include "jinja/builtins/native.h"
#include "jinja/values/budget.h"
#include "jinja/values/value.h"

namespace sw::jinja {

/// How one value is written: what "%-08.3f" and "{:<08.3f}" say alike.
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  ///< < > ^ = or 0: as the type has it
  char sign = '-';
  bool alternate = false;
  int width = 0, precision = -1;
  char grouping = 0;  ///< , or _ between thousands
  char type = 0;
};

/// d x X o b e E f F g G % (the last multiplies by a hundred); fails for other types.
std::string format_number(Budget& budget, const FormatSpec& spec, const Value& value);
/// Cut to the precision, filled to the width.
std::string format_text(const FormatSpec& spec, std::string_view text);

/// format.format(*arguments, **keywords)
Value format_braces(Budget& budget, const Value& format, const Arguments& arguments);

}  // namespace sw::jinja
