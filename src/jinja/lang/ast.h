// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/builtins/native.h"
#include "jinja/values/big_integer.h"
#include "jinja/values/operations.h"
#include "jinja/values/value.h"

/// The tree of a parsed template. Immutable once parsed; nodes evaluate and execute themselves in an
/// Interpreter. Names of variables are numbers, given in the order in which the parser meets them.
namespace sw::jinja {

class Interpreter;

struct Expr {
  virtual ~Expr() = default;
  virtual Value eval(Interpreter& in) const = 0;

  int line = 1;
  int height = 1;  ///< of the tree below and with this node
};
using ExprPtr = std::unique_ptr<const Expr>;

struct Constant final : Expr {
  Value eval(Interpreter& in) const override;
  Value value = {};
  std::string text = {};  ///< where the value is text or a BigInt, a view of this
  BigInteger big = {};    ///< where the value is a BigInt, this
};
struct Variable final : Expr {
  Value eval(Interpreter& in) const override;
  int name = -1;
};
/// The text to which a filter of a {% filter %} or {% set %} block applies.
struct BlockText final : Expr {
  Value eval(Interpreter& in) const override;
};
struct Display final : Expr {  ///< a list or a tuple
  Value eval(Interpreter& in) const override;
  std::vector<ExprPtr> items = {};
  bool is_tuple = false;
};
struct DictDisplay final : Expr {
  Value eval(Interpreter& in) const override;
  std::vector<std::pair<ExprPtr, ExprPtr>> entries = {};
};
struct Attribute final : Expr {
  Value eval(Interpreter& in) const override;
  ExprPtr object = {};
  std::string name = {};
};
struct Item final : Expr {
  Value eval(Interpreter& in) const override;
  ExprPtr object = {}, key = {};
};
struct Slice final : Expr {
  Value eval(Interpreter& in) const override;
  ExprPtr object = {}, start = {}, stop = {}, step = {};  ///< the last three may be null
};
struct Unary final : Expr {
  enum class Op { Not, Minus, Plus };
  Value eval(Interpreter& in) const override;
  Op op = Op::Not;
  ExprPtr operand = {};
};
struct Binary final : Expr {
  Value eval(Interpreter& in) const override;
  Arithmetic op = Arithmetic::Add;
  ExprPtr left = {}, right = {};
};
struct Logical final : Expr {
  Value eval(Interpreter& in) const override;
  bool is_and = false;
  ExprPtr left = {}, right = {};
};
/// a < b <= c
struct Comparison final : Expr {
  enum class Op { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, In, NotIn };
  Value eval(Interpreter& in) const override;
  ExprPtr first = {};
  std::vector<std::pair<Op, ExprPtr>> others = {};
};
struct Concat final : Expr {  ///< a ~ b ~ c
  Value eval(Interpreter& in) const override;
  std::vector<ExprPtr> parts = {};
};
struct Conditional final : Expr {
  Value eval(Interpreter& in) const override;
  ExprPtr test = {}, then = {}, otherwise = {};  ///< `otherwise` may be null
};

struct CallArguments {
  std::vector<ExprPtr> positional = {};
  std::vector<std::pair<std::string, ExprPtr>> keywords = {};
  ExprPtr star = {}, double_star = {};  ///< may be null
};
struct Call final : Expr {
  Value eval(Interpreter& in) const override { return eval_with(in, {}); }
  /// With `caller`, unless Missing, as one more named argument.
  Value eval_with(Interpreter& in, const Value& caller) const;
  ExprPtr callee = {};
  CallArguments arguments = {};
};
/// A filter or a test.
struct Apply final : Expr {
  Value eval(Interpreter& in) const override;
  ExprPtr value = {};
  std::string name = {};
  bool is_test = false;
  const Native* native = nullptr;  ///< null: fails when it is reached
  CallArguments arguments = {};
};

/// How a statement ended: `break` and `continue` go up to their loop.
enum class Flow { Normal, Break, Continue };

struct Stmt {
  virtual ~Stmt() = default;
  virtual Flow exec(Interpreter& in) const = 0;
  int line = 1;
};
using Block = std::vector<std::unique_ptr<const Stmt>>;

/// What may stand left of `=` or between `for` and `in`.
struct Target {
  int name = -1;  ///< a variable, or the namespace whose `attribute` it is
  std::string attribute = {};
  bool is_tuple = false;
  std::vector<Target> parts = {};  ///< where is_tuple
};

struct Text final : Stmt {
  Flow exec(Interpreter& in) const override;
  std::string text = {};
};
struct Print final : Stmt {
  Flow exec(Interpreter& in) const override;
  ExprPtr value = {};
};
struct If final : Stmt {
  Flow exec(Interpreter& in) const override;
  std::vector<std::pair<ExprPtr, Block>> branches = {};
  Block otherwise = {};
};
struct ForNode final : Stmt {
  Flow exec(Interpreter& in) const override;
  /// The passes over the items of `iterable`, or the else block where there are none. `depth` is that of the
  /// loop in its own calls: 0 for the outermost.
  Flow run(Interpreter& in, const Value& iterable, int64_t depth) const;
  Target target = {};
  int loop_name = -1;            ///< of the variable `loop`
  ExprPtr over = {}, test = {};  ///< `test` may be null
  bool recursive = false;
  Block body = {}, otherwise = {};
  std::vector<int> hidden = {}, hidden_otherwise = {};  ///< names that do not exist before they are set there
};
struct Set final : Stmt {
  Flow exec(Interpreter& in) const override;
  Target target = {};
  ExprPtr value = {};
};
struct SetBlock final : Stmt {
  Flow exec(Interpreter& in) const override;
  Target target = {};
  ExprPtr filter = {};  ///< of BlockText; may be null
  Block body = {};
  std::vector<int> hidden = {};  ///< names that do not exist before the body sets them
};
struct FilterBlock final : Stmt {
  Flow exec(Interpreter& in) const override;
  ExprPtr filter = {};  ///< of BlockText
  Block body = {};
  std::vector<int> hidden = {};  ///< names that do not exist before the body sets them
};
struct With final : Stmt {
  Flow exec(Interpreter& in) const override;
  std::vector<std::pair<Target, ExprPtr>> variables = {};
  Block body = {};
  std::vector<int> hidden = {};  ///< names that do not exist before the body sets them
};
struct MacroNode final : Stmt {
  struct Parameter {
    int name = -1;
    std::string text = {};
    ExprPtr otherwise = {};  ///< may be null
  };
  Flow exec(Interpreter& in) const override;
  int name = -1;  ///< -1: the body of a {% call %}
  std::string text = {};
  std::vector<Parameter> parameters = {};
  int varargs = -1, kwargs = -1, caller = -1;  ///< names, where the body uses them
  Block body = {};
  std::vector<int> hidden = {};  ///< names that do not exist before the body sets them
};
struct CallBlock final : Stmt {
  Flow exec(Interpreter& in) const override;
  std::unique_ptr<const Call> call = {};
  MacroNode caller = {};
};
/// {% generation %}: what the model wrote. Marks nothing here; as in transformers, its body is a macro's.
struct Generation final : Stmt {
  Flow exec(Interpreter& in) const override;
  MacroNode body = {};
};
struct Jump final : Stmt {
  Flow exec(Interpreter&) const override { return flow; }
  Flow flow = Flow::Break;
};

/// A whole template.
struct Tree {
  Block body = {};
  std::vector<std::string> names = {};  ///< of variables, by number
  std::vector<int> hidden = {};         ///< names that do not exist before the template sets them
};

}  // namespace sw::jinja
