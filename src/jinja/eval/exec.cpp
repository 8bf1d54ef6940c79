// SPDX-License-Identifier: MIT
// How statements execute.
#include <utility>

#include "jinja/eval/interpreter.h"

namespace sw::jinja {
namespace {

/// The items of a loop that its `if` lets pass, each looked at when it is asked for.
class Filtered final : public Generator {
 public:
  Filtered(Interpreter& in, const ForNode& node, const Value& over)
      : in_(in), node_(node), scope_(in.scope()), items_(in.budget(), over) {}

  bool next(Budget& budget, Value& value) override {
    for (Value item; items_.next(budget, item);) {
      const bool passes = in_.in_scope(scope_, {}, [&] {
        in_.assign(node_.target, item);
        return is_true(in_.eval(*node_.test));
      });
      if (!passes) continue;
      value = item;
      return true;
    }
    return false;
  }

 private:
  Interpreter& in_;
  const ForNode& node_;
  Scope* scope_;
  Iterator items_;
};

/// What a block writes, through its filter, which sees the variables of the block.
std::pair<Flow, Value> filtered_body(Interpreter& in, const Block& body, const std::vector<int>& hidden,
                                     const Expr* filter) {
  Value text;
  const Flow flow = in.in_scope(in.scope(), hidden, [&] {
    Flow end = Flow::Normal;
    text = in.captured([&] { end = in.exec(body); });
    if (end == Flow::Normal && filter) text = in.filtered(*filter, text);
    return end;
  });
  return {flow, text};
}

}  // namespace

Flow Text::exec(Interpreter& in) const {
  in.out().add(text);
  return Flow::Normal;
}

Flow Print::exec(Interpreter& in) const {
  append_text(in.out(), in.eval(*value));
  return Flow::Normal;
}

Flow If::exec(Interpreter& in) const {
  for (const auto& [test, block] : branches) {
    if (is_true(in.eval(*test))) return in.exec(block);
  }
  return in.exec(otherwise);
}

Flow ForNode::exec(Interpreter& in) const { return run(in, in.eval(*over), 0); }

Flow ForNode::run(Interpreter& in, const Value& iterable, int64_t depth) const {
  Budget& budget = in.budget();
  const Value items = test ? Value::object<Generator>(budget.make(Filtered(in, *this, iterable))) : iterable;
  budget.spend(Budget::kStep);
  LoopState* loop = budget.make(LoopState(budget, items));
  loop->recursive = recursive ? this : nullptr;
  loop->scope = in.scope();
  loop->depth0 = depth;
  Flow flow = Flow::Normal;
  in.in_scope(in.scope(), {}, [&] {
    while (flow != Flow::Break && loop->next(budget)) {
      budget.spend(Budget::kStep / 2);
      in.scope()->variables.clear();  // each pass has its own
      in.hide(hidden);
      in.assign(loop_name, Value::object<LoopState>(loop));
      in.assign(target, loop->current);
      flow = in.exec(body);
    }
  });
  if (loop->index0 < 0) {
    return in.in_scope(in.scope(), hidden_otherwise, [&] { return in.exec(otherwise); });
  }
  return Flow::Normal;
}

Flow Set::exec(Interpreter& in) const {
  in.assign(target, in.eval(*value));
  return Flow::Normal;
}

Flow SetBlock::exec(Interpreter& in) const {
  const auto [flow, text] = filtered_body(in, body, hidden, filter.get());
  if (flow == Flow::Normal) in.assign(target, text);
  return flow;
}

Flow FilterBlock::exec(Interpreter& in) const {
  const auto [flow, text] = filtered_body(in, body, hidden, filter.get());
  if (flow == Flow::Normal) append_text(in.out(), text);
  return flow;
}

Flow With::exec(Interpreter& in) const {
  std::vector<Value> values;
  for (const auto& [target, value] : variables) values.push_back(in.eval(*value));
  return in.in_scope(in.scope(), hidden, [&] {
    for (size_t i = 0; i < values.size(); ++i) in.assign(variables[i].first, values[i]);
    return in.exec(body);
  });
}

Flow MacroNode::exec(Interpreter& in) const {
  in.assign(name, Value::object<Macro>(in.budget().make(Macro{this, in.scope(), text})));
  return Flow::Normal;
}

Flow CallBlock::exec(Interpreter& in) const {
  const Value body = Value::object<Macro>(in.budget().make(Macro{&caller, in.scope()}));
  append_text(in.out(), call->eval_with(in, body));
  return Flow::Normal;
}

Flow Generation::exec(Interpreter& in) const {
  append_text(in.out(), in.call(Value::object<Macro>(in.budget().make(Macro{&body, in.scope()})), {}));
  return Flow::Normal;
}

}  // namespace sw::jinja
