// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sw::jinja {

/// Which names a scope hides. Jinja decides from the source alone what a name means in a scope: one that is
/// set there before it is read does not exist until then, whatever the template's input or functions call so.
/// A name that branches of an `if` set first keeps its meaning from outside.
class Scopes {
 public:
  /// What is known of the names of one scope, by number.
  using State = std::vector<uint8_t>;

  /// The template's own scope is open from the beginning.
  explicit Scopes() { open(nullptr); }
  /// The names that the scope hides are written to `hidden`, unless that is null, by finish().
  int open(std::vector<int>* hidden);
  void close() { now_ = scopes_[index(now_)].parent; }
  /// Goes on in a scope that was closed.
  void reopen(int scope) { now_ = scope; }

  void load(int name);
  void store(int name);
  void declare(int name) { mark(name, kKnown | kStored); }

  State& state() { return scopes_[index(now_)].state; }
  /// What is known after an `if` whose three parts (body, all elifs, else) began with `before`.
  static State merge(const State& before, const std::array<State, 3>& parts);

  /// All scopes are known. The template's own hidden names are returned.
  std::vector<int> finish() const;

 private:
  static constexpr uint8_t kKnown = 1, kHidden = 2, kStored = 4;
  struct Scope {
    int parent = -1;
    std::vector<int>* hidden = nullptr;
    State state = {};
  };
  static size_t index(int i) { return static_cast<size_t>(i); }
  static uint8_t at(const State& state, size_t name) { return name < state.size() ? state[name] : 0; }
  void mark(int name, uint8_t bits);

  std::vector<Scope> scopes_ = {};
  int now_ = -1;
};

}  // namespace sw::jinja
