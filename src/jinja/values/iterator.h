// SPDX-License-Identifier: MIT
#pragma once
#include <vector>

#include "jinja/values/budget.h"
#include "jinja/values/value.h"

namespace sw::jinja {

/// What Python's generators are: gives each value once, made when it is asked for. Lives in the Budget.
class Generator {
 public:
  virtual bool next(Budget& budget, Value& value) = 0;

 protected:
  ~Generator() = default;
};

/// iter(value). Fails where the value cannot be iterated.
class Iterator {
 public:
  Iterator() = default;
  Iterator(Budget& budget, const Value& value);
  /// False at the end, where `value` stays as it was.
  bool next(Budget& budget, Value& value);

 private:
  Value over_ = {};
  size_t at_ = 0;
};

/// Whether iter(value) would do.
bool is_iterable(const Value& value);
/// list(value), in C++ and as a value.
std::vector<Value> to_vector(Budget& budget, const Value& value);
Value to_list(Budget& budget, const Value& value);
/// One entry as (key, value).
Value entry_tuple(Budget& budget, const DictEntry& entry);

}  // namespace sw::jinja
