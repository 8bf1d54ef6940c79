// SPDX-License-Identifier: MIT
#include "jinja/values/objects.h"

#include <fmt/core.h>

#include "base/error.h"
#include "jinja/values/operations.h"

namespace sw::jinja {

const Value* Namespace::find(Budget& budget, std::string_view name) const {
  budget.spend_scan(attributes.size());
  for (const Attribute& attribute : attributes) {
    if (attribute.name == name) return &attribute.value;
  }
  return nullptr;
}

void Namespace::set(Budget& budget, std::string_view name, const Value& value) {
  budget.spend_scan(attributes.size());
  if (name.starts_with('_')) {  // as transformers' own namespace refuses it
    budget.fail(fmt::format("a namespace cannot have attributes that begin with an underscore: {}",
                            printable(std::string(name), 40)));
  }
  for (Attribute& attribute : attributes) {
    if (attribute.name != name) continue;
    attribute.value = value;
    return;
  }
  budget.spend(Budget::kStep);
  attributes.push(budget, {name, value});
}

bool LoopState::peek(Budget& budget) {
  if (after.is(Kind::Missing)) items.next(budget, after);
  return !after.is(Kind::Missing);
}

bool LoopState::next(Budget& budget) {
  if (!peek(budget)) return false;
  ++index0;
  before = current;
  current = after;
  after = {};
  return true;
}

int64_t LoopState::length(Budget& budget) {
  if (known_length >= 0) return known_length;
  if (const auto n = jinja::length(over)) return known_length = *n;
  const bool peeked = !after.is(Kind::Missing);
  Value rest = to_list(budget, over);
  items = Iterator(budget, rest);
  return known_length = static_cast<int64_t>(rest.as_items().size()) + index0 + 1 + peeked;
}

}  // namespace sw::jinja
