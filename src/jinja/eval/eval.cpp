// SPDX-License-Identifier: MIT
// How expressions evaluate.
#include <fmt/core.h>

#include "jinja/eval/interpreter.h"
#include "jinja/values/iterator.h"

namespace sw::jinja {

Value Constant::eval(Interpreter&) const { return value; }

Value Variable::eval(Interpreter& in) const { return in.variable(name); }

Value BlockText::eval(Interpreter& in) const { return in.block_text(); }

Value Display::eval(Interpreter& in) const {
  const std::span<Value> values = in.budget().make_array<Value>(items.size());
  for (size_t i = 0; i < items.size(); ++i) values[i] = in.eval(*items[i]);
  return Value::sequence(is_tuple ? Kind::Tuple : Kind::List, values);
}

Value DictDisplay::eval(Interpreter& in) const {
  DictBuilder dict(in.budget());
  for (const auto& [key, value] : entries) {
    const Value k = in.eval(*key);
    dict.set(k, in.eval(*value));
  }
  return dict.value();
}

Value Attribute::eval(Interpreter& in) const {
  const Value value = in.eval(*object);
  return get_attribute(in.budget(), value, name);
}

Value Item::eval(Interpreter& in) const {
  const Value value = in.eval(*object);
  return get_item(in.budget(), value, in.eval(*key));
}

Value Slice::eval(Interpreter& in) const {
  const Value value = in.eval(*object);
  const auto eval_or_missing = [&](const ExprPtr& bound) { return bound ? in.eval(*bound) : Value(); };
  const Value from = eval_or_missing(start), to = eval_or_missing(stop);
  return get_slice(in.budget(), value, from, to, eval_or_missing(step));
}

Value Unary::eval(Interpreter& in) const {
  const Value value = in.eval(*operand);
  if (op == Op::Not) return Value(!is_true(value));
  if (op == Op::Minus) return negate(in.budget(), value);
  return arithmetic(in.budget(), Arithmetic::Add, Value(0), value);
}

Value Binary::eval(Interpreter& in) const {
  const Value a = in.eval(*left);
  return arithmetic(in.budget(), op, a, in.eval(*right));
}

Value Logical::eval(Interpreter& in) const {
  const Value a = in.eval(*left);
  return is_true(a) == is_and ? in.eval(*right) : a;
}

namespace {

bool holds(Budget& budget, Comparison::Op op, const Value& a, const Value& b) {
  using Op = Comparison::Op;
  switch (op) {
    case Op::Equal:
      return equal(budget, a, b);
    case Op::NotEqual:
      return !equal(budget, a, b);
    case Op::Less:
      return compare(budget, Order::Less, a, b);
    case Op::LessEqual:
      return compare(budget, Order::LessEqual, a, b);
    case Op::Greater:
      return compare(budget, Order::Greater, a, b);
    case Op::GreaterEqual:
      return compare(budget, Order::GreaterEqual, a, b);
    case Op::In:
      return contains(budget, b, a);
    case Op::NotIn:
      return !contains(budget, b, a);
  }
  return false;
}

}  // namespace

Value Comparison::eval(Interpreter& in) const {
  Value left = in.eval(*first);
  for (const auto& [op, expr] : others) {
    const Value right = in.eval(*expr);
    if (!holds(in.budget(), op, left, right)) return Value(false);
    left = right;
  }
  return Value(true);
}

Value Concat::eval(Interpreter& in) const {
  TextBuilder out(in.budget());
  for (const ExprPtr& part : parts) append_text(out, in.eval(*part));
  return out.value();
}

Value Conditional::eval(Interpreter& in) const {
  if (is_true(in.eval(*test))) return in.eval(*then);
  if (otherwise) return in.eval(*otherwise);
  return Value::undefined({"the inline if-expression evaluated to false and no else section was defined."});
}

namespace {

/// The arguments of a call, evaluated; the memory is the Budget's.
class Evaluated {
 public:
  Evaluated(Interpreter& in, const CallArguments& arguments) : budget_(in.budget()) {
    for (const ExprPtr& argument : arguments.positional) positional_.push(budget_, in.eval(*argument));
    for (const auto& [name, argument] : arguments.keywords)
      keywords_.push(budget_, {name, in.eval(*argument)});
    if (arguments.star) {
      for (const Value& value : to_vector(budget_, in.eval(*arguments.star)))
        positional_.push(budget_, value);
    }
    if (arguments.double_star) add_all(in.eval(*arguments.double_star));
  }
  void add(std::string_view name, const Value& value) {
    budget_.spend_scan(keywords_.size());
    for (const Keyword& keyword : keywords_) {
      if (keyword.name == name)
        budget_.fail(fmt::format("got multiple values for keyword argument '{}'", name));
    }
    keywords_.push(budget_, {name, value});
  }
  Arguments view() const {
    return {{positional_.begin(), positional_.end()}, {keywords_.begin(), keywords_.end()}};
  }

 private:
  void add_all(const Value& named) {
    if (!named.is(Kind::Dict)) budget_.fail("the argument after ** must be a mapping");
    for (const DictEntry& entry : named.as<Dict>().entries) {
      if (!entry.key.is(Kind::Str)) budget_.fail("keywords must be strings");
      add(entry.key.as_text(), entry.value);
    }
  }
  Budget& budget_;
  Growing<Value> positional_ = {};
  Growing<Keyword> keywords_ = {};
};

}  // namespace

Value Call::eval_with(Interpreter& in, const Value& caller) const {
  const Value function = in.eval(*callee);
  Evaluated evaluated(in, arguments);
  if (!caller.is(Kind::Missing)) evaluated.add("caller", caller);
  in.budget().at_line(line);
  return in.call(function, evaluated.view());
}

Value Apply::eval(Interpreter& in) const {
  if (!native) in.budget().fail(fmt::format("No {} named '{}'.", is_test ? "test" : "filter", name));
  const Value first = in.eval(*value);
  const Evaluated evaluated(in, arguments);
  return call_native(in.budget(), *native, first, evaluated.view());
}

}  // namespace sw::jinja
