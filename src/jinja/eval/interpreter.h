// SPDX-License-Identifier: MIT
#pragma once
#include <string_view>
#include <vector>

#include "jinja/builtins/native.h"
#include "jinja/lang/ast.h"
#include "jinja/values/budget.h"
#include "jinja/values/objects.h"

namespace sw::jinja {

/// One rendering of a template: its variables, and what it has written.
class Interpreter {
 public:
  /// Both are borrowed. `variables` holds one value for each name of the template, Missing where it has none.
  Interpreter(Budget& budget, const Tree& source, std::vector<Value> variables)
      : budget_(budget), source_(source), variables_(std::move(variables)), out_(budget) {}

  std::string render();

  Budget& budget() { return budget_; }
  TextBuilder& out() { return out_; }

  Value eval(const Expr& expr) {
    const Budget::Deeper deeper(budget_);
    budget_.spend();
    return expr.eval(*this);
  }
  Flow exec(const Block& block);

  /// The value of a variable; Undefined where there is none.
  Value variable(int name) const;
  /// In the innermost scope.
  void assign(int name, const Value& value);
  void assign(const Target& target, const Value& value);

  /// Runs `body()` with variables of its own, inside of `parent` (null: the template itself). Those of
  /// `hidden` are not yet set.
  template <class F>
  auto in_scope(Scope* parent, const std::vector<int>& hidden, F&& body) {
    budget_.spend(Budget::kStep / 2);
    const Restore restore(scope_, budget_.make(Scope{.parent = parent}));
    hide(hidden);
    return body();
  }
  Scope* scope() const { return scope_; }
  /// Makes variables of the innermost scope undefined.
  void hide(const std::vector<int>& names) {
    for (const int name : names)
      assign(name, Value::undefined({source_.names[static_cast<size_t>(name)], Kind::Missing}));
  }

  /// What `body()` writes, as a value instead.
  template <class F>
  Value captured(F&& body) {
    const size_t begin = out_.size();
    body();
    const Value text = budget_.text(out_.view().substr(begin));
    out_.cut(begin);
    return text;
  }
  /// The value of a filter over BlockText, which is `text`.
  Value filtered(const Expr& filter, const Value& text);
  const Value& block_text() const { return block_text_; }

  Value call(const Value& callee, const Arguments& arguments);

 private:
  /// Sets something for as long as this lives.
  template <class T>
  class Restore {
   public:
    Restore(T& place, T value) : place_(place), before_(std::exchange(place, value)) {}
    ~Restore() { place_ = before_; }
    Restore(const Restore&) = delete;
    Restore& operator=(const Restore&) = delete;

   private:
    T& place_;
    T before_;
  };

  Value call_macro(const Macro& macro, const Arguments& arguments);
  Value call_loop(const LoopState& loop, const Arguments& arguments);
  void check_calls() const;
  void bind(const MacroNode& node, const Arguments& arguments);
  void bind_others(const MacroNode& node, const Arguments& arguments, std::vector<bool>& used);

  Budget& budget_;
  const Tree& source_;
  std::vector<Value> variables_;  // outside of all scopes, by name
  Scope* scope_ = nullptr;
  TextBuilder out_;
  Value block_text_ = {};
  int n_calls_ = 0;
};

}  // namespace sw::jinja
