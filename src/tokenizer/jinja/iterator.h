// SPDX-License-Identifier: MIT
#pragma once
#include <vector>

#include "tokenizer/jinja/runtime.h"
#include "tokenizer/jinja/value.h"

namespace sw::jinja {

/// What Python's generators are: gives each value once, made when it is asked for. Lives in the Runtime.
class Generator {
 public:
  virtual bool next(Runtime& runtime, Value& value) = 0;

 protected:
  ~Generator() = default;
};

/// iter(value). Fails where the value cannot be iterated.
class Iterator {
 public:
  Iterator() = default;
  Iterator(Runtime& runtime, const Value& value);
  /// False at the end, where `value` stays as it was.
  bool next(Runtime& runtime, Value& value);

 private:
  Value over_ = {};
  size_t at_ = 0;
};

/// Whether iter(value) would do.
bool is_iterable(const Value& value);
/// list(value), in C++ and as a value.
std::vector<Value> to_vector(Runtime& runtime, const Value& value);
Value to_list(Runtime& runtime, const Value& value);
/// One entry as (key, value).
Value entry_tuple(Runtime& runtime, const DictEntry& entry);

}  // namespace sw::jinja
