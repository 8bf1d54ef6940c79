// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "jinja/values/budget.h"
#include "jinja/values/iterator.h"
#include "jinja/values/value.h"

/// What stands behind the values that are no data.
namespace sw::jinja {

struct ForNode;
struct MacroNode;

/// A list that grows in the Budget's memory.
template <class T>
class Growing {
 public:
  void push(Budget& budget, const T& item) {
    if (size_ == items_.size()) {
      const std::span<T> more = budget.make_array<T>(size_ ? 2 * size_ : 4);
      std::copy(items_.begin(), items_.end(), more.begin());
      items_ = more;
    }
    items_[size_++] = item;
  }
  void clear() { size_ = 0; }
  size_t size() const { return size_; }
  T* begin() const { return items_.data(); }
  T* end() const { return items_.data() + size_; }

 private:
  std::span<T> items_ = {};
  size_t size_ = 0;
};

/// The variables of a loop's body, a macro and the like. What is above all scopes stands elsewhere.
struct Scope {
  struct Variable {
    int name = -1;  ///< number of the name in the template
    Value value = {};
  };
  Scope* parent = nullptr;
  Growing<Variable> variables = {};
};

struct Macro {
  const MacroNode* node = nullptr;
  Scope* scope = nullptr;      ///< where it was defined
  std::string_view name = {};  ///< empty: the body of a {% call %}
};

/// "text".upper, which is called later.
struct BoundMethod {
  const Native* native = nullptr;
  Value self = {};
};

/// namespace(...): the one thing that a template can change.
struct Namespace {
  struct Attribute {
    std::string_view name = {};
    Value value = {};
  };
  Growing<Attribute> attributes = {};

  const Value* find(Budget& budget, std::string_view name) const;
  void set(Budget& budget, std::string_view name, const Value& value);
};

/// The variable `loop` of a for-loop, and the loop's place in what it goes through.
struct LoopState {
  LoopState(Budget& budget, const Value& iterable) : over(iterable), items(budget, iterable) {}

  Value over;
  Iterator items;
  const ForNode* recursive = nullptr;  ///< where the loop may be called
  Scope* scope = nullptr;              ///< around the loop
  int64_t index0 = -1, depth0 = 0;
  Value before = {}, current = {}, after = {};  ///< Missing: there is none, or it is not yet known
  Value last_changed = {};
  int64_t known_length = -1;

  /// Goes on; false at the end.
  bool next(Budget& budget);
  /// Whether there is a next item, which then stands in `after`.
  bool peek(Budget& budget);
  int64_t length(Budget& budget);
};

}  // namespace sw::jinja
