// SPDX-License-Identifier: MIT
#include "tokenizer/jinja/objects.h"

#include "tokenizer/jinja/operations.h"

namespace sw::jinja {

const Value* Namespace::find(Runtime& runtime, std::string_view name) const {
  runtime.spend_scan(attributes.size());
  for (const Attribute& attribute : attributes) {
    if (attribute.name == name) return &attribute.value;
  }
  return nullptr;
}

void Namespace::set(Runtime& runtime, std::string_view name, const Value& value) {
  runtime.spend_scan(attributes.size());
  for (Attribute& attribute : attributes) {
    if (attribute.name != name) continue;
    attribute.value = value;
    return;
  }
  runtime.spend(Runtime::kStep);
  attributes.push(runtime, {name, value});
}

bool LoopState::peek(Runtime& runtime) {
  if (after.is_missing()) items.next(runtime, after);
  return !after.is_missing();
}

bool LoopState::next(Runtime& runtime) {
  if (!peek(runtime)) return false;
  ++index0;
  before = current;
  current = after;
  after = {};
  return true;
}

int64_t LoopState::length(Runtime& runtime) {
  if (known_length >= 0) return known_length;
  if (const auto n = jinja::length(over)) return known_length = *n;
  const bool peeked = !after.is_missing();
  Value rest = to_list(runtime, over);
  items = Iterator(runtime, rest);
  return known_length = static_cast<int64_t>(rest.as_items().size()) + index0 + 1 + peeked;
}

}  // namespace sw::jinja
