// SPDX-License-Identifier: MIT
// How expressions evaluate.
#include <fmt/core.h>

#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/iterator.h"

namespace sw::jinja {

Value Constant::eval(Interpreter&) const { return value; }

Value Variable::eval(Interpreter& in) const { return in.variable(name); }

Value BlockText::eval(Interpreter& in) const { return in.block_text(); }

Value Display::eval(Interpreter& in) const {
  const std::span<Value> values = in.runtime().make_array<Value>(items.size());
  for (size_t i = 0; i < items.size(); ++i) values[i] = in.eval(*items[i]);
  return is_tuple ? Value::tuple(values) : Value::list(values);
}

Value DictDisplay::eval(Interpreter& in) const {
  DictBuilder dict(in.runtime());
  for (const auto& [key, value] : entries) {
    const Value k = in.eval(*key);
    dict.set(k, in.eval(*value));
  }
  return dict.value();
}

Value Attribute::eval(Interpreter& in) const {
  const Value value = in.eval(*object);
  return get_attribute(in.runtime(), value, name);
}

Value Item::eval(Interpreter& in) const {
  const Value value = in.eval(*object);
  return get_item(in.runtime(), value, in.eval(*key));
}

Value Slice::eval(Interpreter& in) const {
  const Value value = in.eval(*object);
  const Value from = in.eval_or_missing(start), to = in.eval_or_missing(stop);
  return get_slice(in.runtime(), value, from, to, in.eval_or_missing(step));
}

Value Unary::eval(Interpreter& in) const {
  const Value value = in.eval(*operand);
  if (op == Op::Not) return Value::boolean(!is_true(value));
  if (op == Op::Minus) return negate(in.runtime(), value);
  return arithmetic(in.runtime(), Arithmetic::Add, Value::integer(0), value);
}

Value Binary::eval(Interpreter& in) const {
  const Value a = in.eval(*left);
  return arithmetic(in.runtime(), op, a, in.eval(*right));
}

Value Logical::eval(Interpreter& in) const {
  const Value a = in.eval(*left);
  return is_true(a) == is_and ? in.eval(*right) : a;
}

namespace {

bool holds(Runtime& runtime, Comparison::Op op, const Value& a, const Value& b) {
  using Op = Comparison::Op;
  switch (op) {
    case Op::Equal:
      return equal(runtime, a, b);
    case Op::NotEqual:
      return !equal(runtime, a, b);
    case Op::Less:
      return compare(runtime, Order::Less, a, b);
    case Op::LessEqual:
      return compare(runtime, Order::LessEqual, a, b);
    case Op::Greater:
      return compare(runtime, Order::Greater, a, b);
    case Op::GreaterEqual:
      return compare(runtime, Order::GreaterEqual, a, b);
    case Op::In:
      return contains(runtime, b, a);
    case Op::NotIn:
      return !contains(runtime, b, a);
  }
  return false;
}

}  // namespace

Value Comparison::eval(Interpreter& in) const {
  Value left = in.eval(*first);
  for (const auto& [op, expr] : others) {
    const Value right = in.eval(*expr);
    if (!holds(in.runtime(), op, left, right)) return Value::boolean(false);
    left = right;
  }
  return Value::boolean(true);
}

Value Concat::eval(Interpreter& in) const {
  TextBuilder out(in.runtime());
  for (const ExprPtr& part : parts) append_text(out, in.eval(*part));
  return out.value();
}

Value Conditional::eval(Interpreter& in) const {
  if (is_true(in.eval(*test))) return in.eval(*then);
  if (otherwise) return in.eval(*otherwise);
  return Value::undefined("the inline if-expression evaluated to false and no else section was defined.");
}

namespace {

/// The arguments of a call, evaluated; the memory is the Runtime's.
class Evaluated {
 public:
  Evaluated(Interpreter& in, const CallArguments& arguments) : runtime_(in.runtime()) {
    for (const ExprPtr& argument : arguments.positional) positional_.push(runtime_, in.eval(*argument));
    for (const auto& [name, argument] : arguments.keywords)
      keywords_.push(runtime_, {name, in.eval(*argument)});
    if (arguments.star) {
      for (const Value& value : to_vector(runtime_, in.eval(*arguments.star)))
        positional_.push(runtime_, value);
    }
    if (arguments.double_star) add_all(in.eval(*arguments.double_star));
  }
  void add(std::string_view name, const Value& value) {
    runtime_.spend_scan(keywords_.size());
    for (const Keyword& keyword : keywords_) {
      if (keyword.name == name)
        runtime_.fail(fmt::format("got multiple values for keyword argument '{}'", name));
    }
    keywords_.push(runtime_, {name, value});
  }
  Arguments view() const {
    return {{positional_.begin(), positional_.end()}, {keywords_.begin(), keywords_.end()}};
  }

 private:
  void add_all(const Value& named) {
    if (!named.is(Kind::Dict)) runtime_.fail("the argument after ** must be a mapping");
    for (const DictEntry& entry : named.as_dict().entries) {
      if (!entry.key.is_str()) runtime_.fail("keywords must be strings");
      add(entry.key.as_text(), entry.value);
    }
  }
  Runtime& runtime_;
  Growing<Value> positional_ = {};
  Growing<Keyword> keywords_ = {};
};

}  // namespace

Value Call::eval_with(Interpreter& in, const Value& caller) const {
  const Value function = in.eval(*callee);
  Evaluated evaluated(in, arguments);
  if (!caller.is_missing()) evaluated.add("caller", caller);
  in.runtime().at_line(line);
  return in.call(function, evaluated.view());
}

Value Apply::eval(Interpreter& in) const {
  if (!native) in.runtime().fail(fmt::format("No {} named '{}'.", is_test ? "test" : "filter", name));
  const Value first = in.eval(*value);
  const Evaluated evaluated(in, arguments);
  return call_native(in.runtime(), *native, first, evaluated.view());
}

}  // namespace sw::jinja
