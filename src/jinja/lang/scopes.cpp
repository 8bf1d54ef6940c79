// SPDX-License-Identifier: MIT
#include "jinja/lang/scopes.h"

#include <algorithm>

namespace sw::jinja {

int Scopes::open(std::vector<int>* hidden) {
  scopes_.push_back({now_, hidden});
  return now_ = static_cast<int>(scopes_.size()) - 1;
}

void Scopes::mark(int name, uint8_t bits) {
  State& known = state();
  if (known.size() <= index(name)) known.resize(index(name) + 1);
  known[index(name)] |= bits;
}

/// A name of a scope outside is no name of this one.
void Scopes::load(int name) {
  for (int scope = now_; scope >= 0; scope = scopes_[index(scope)].parent) {
    if (at(scopes_[index(scope)].state, index(name)) & kKnown) return;
  }
  mark(name, kKnown);
}

void Scopes::store(int name) {
  const bool known = at(state(), index(name)) & kKnown;
  mark(name, known ? kStored : kKnown | kHidden | kStored);
}

Scopes::State Scopes::merge(const State& before, const std::array<State, 3>& parts) {
  State merged = before;
  for (const State& part : parts) merged.resize(std::max(merged.size(), part.size()));
  for (size_t name = 0; name < merged.size(); ++name) {
    if (at(before, name) & kStored) continue;
    for (const State& part : parts) {
      if (const uint8_t bits = at(part, name)) merged[name] = bits | (merged[name] & kStored);
    }
    // Even where all parts store it: a name of branches keeps its meaning from outside.
    if (merged[name] & kStored) merged[name] &= static_cast<uint8_t>(~kHidden);
  }
  return merged;
}

std::vector<int> Scopes::finish() const {
  std::vector<int> own;
  for (size_t i = 0; i < scopes_.size(); ++i) {
    const Scope& scope = scopes_[i];
    std::vector<int>* const hidden = i == 0 ? &own : scope.hidden;
    if (!hidden) continue;
    for (size_t name = 0; name < scope.state.size(); ++name) {
      bool hides = (scope.state[name] & kHidden) != 0;
      for (int outer = scope.parent; hides && outer >= 0; outer = scopes_[index(outer)].parent)
        hides = !(at(scopes_[index(outer)].state, name) & kKnown);
      if (hides) hidden->push_back(static_cast<int>(name));
    }
  }
  return own;
}

}  // namespace sw::jinja
