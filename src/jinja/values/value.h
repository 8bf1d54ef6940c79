// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace sw::jinja {

struct BoundMethod;
struct Dict;
struct LoopState;
struct Macro;
struct Namespace;
struct Native;
struct Range;
class Generator;

/// The types that a template can hold. Missing is no value of the language: a parameter that was not given.
enum class Kind : uint8_t {
  Missing,
  Undefined,
  None,
  Bool,
  Int,
  Float,
  Str,
  List,
  Tuple,
  Dict,
  Keys,  ///< dict.keys(), as are the next two
  Values,
  Items,
  Range,
  Generator,
  Namespace,
  Macro,
  Method,
  Function,
  Loop,
};

/// A value of a running template: 16 bytes, copied freely. Text and containers are views of memory that the
/// Budget, the template's tree or the caller's input owns; all of it is immutable but Namespace, Generator
/// and Loop. So no value needs a destructor, and no chain of values, however deep, can overflow the stack.
class Value {
 public:
  Value() = default;
  static Value none() { return Value(Kind::None); }
  static Value boolean(bool b) { return integer_like(Kind::Bool, b); }
  static Value integer(int64_t i) { return integer_like(Kind::Int, i); }
  static Value number(double d) {
    Value v(Kind::Float);
    v.number_ = d;
    return v;
  }
  /// `markup`: what Python calls Markup, text that |safe or |escape made.
  static Value text(std::string_view s, bool markup = false) { return view(Kind::Str, s, markup); }
  static Value list(std::span<const Value> items) { return view(Kind::List, items); }
  static Value tuple(std::span<const Value> items) { return view(Kind::Tuple, items); }
  /// Undefined for the reason that `message` gives in full.
  static Value undefined(std::string_view message) { return view(Kind::Undefined, message, false); }
  /// Undefined because an object of kind `owner` has no attribute `name`; Kind::Missing: no such variable.
  static Value undefined(Kind owner, std::string_view name) {
    Value v = view(Kind::Undefined, name, true);
    v.owner_ = owner;
    return v;
  }
  static Value dict(const Dict* d, Kind kind = Kind::Dict) { return object(kind, d); }
  static Value range(const Range* r) { return object(Kind::Range, r); }
  static Value generator(Generator* g) { return object(Kind::Generator, g); }
  static Value name_space(Namespace* n) { return object(Kind::Namespace, n); }
  static Value macro(const Macro* m) { return object(Kind::Macro, m); }
  static Value method(const BoundMethod* m) { return object(Kind::Method, m); }
  static Value function(const Native* f) { return object(Kind::Function, f); }
  static Value loop(LoopState* l) { return object(Kind::Loop, l); }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return kind_ == Kind::Missing; }
  bool is_undefined() const { return kind_ == Kind::Undefined; }
  bool is_str() const { return kind_ == Kind::Str; }
  /// Python's int, of which bool is a kind.
  bool is_integer() const { return kind_ == Kind::Int || kind_ == Kind::Bool; }
  bool is_number() const { return is_integer() || kind_ == Kind::Float; }
  bool is_sequence() const { return kind_ == Kind::List || kind_ == Kind::Tuple; }
  bool is_dict_view() const { return kind_ == Kind::Keys || kind_ == Kind::Values || kind_ == Kind::Items; }

  // Each only where kind() says so.
  int64_t as_integer() const { return integer_; }
  double as_number() const { return kind_ == Kind::Float ? number_ : static_cast<double>(integer_); }
  std::string_view as_text() const { return {static_cast<const char*>(pointer_), size_}; }
  std::span<const Value> as_items() const { return {static_cast<const Value*>(pointer_), size_}; }
  const Dict& as_dict() const { return *static_cast<const Dict*>(pointer_); }
  const Range& as_range() const { return *static_cast<const Range*>(pointer_); }
  const Macro& as_macro() const { return *static_cast<const Macro*>(pointer_); }
  const BoundMethod& as_method() const { return *static_cast<const BoundMethod*>(pointer_); }
  const Native& as_function() const { return *static_cast<const Native*>(pointer_); }
  Generator& as_generator() const { return *static_cast<Generator*>(const_cast<void*>(pointer_)); }
  Namespace& as_namespace() const { return *static_cast<Namespace*>(const_cast<void*>(pointer_)); }
  LoopState& as_loop() const { return *static_cast<LoopState*>(const_cast<void*>(pointer_)); }

  bool is_markup() const { return kind_ == Kind::Str && flag_; }
  /// Of an Undefined: the text is a name, not a message; whose attribute it would be.
  bool names_attribute() const { return flag_; }
  Kind owner() const { return owner_; }
  /// Whether both are views of the same memory, or the same object.
  bool same_object(const Value& other) const { return pointer_ == other.pointer_ && size_ == other.size_; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  static Value integer_like(Kind kind, int64_t i) {
    Value v(kind);
    v.integer_ = i;
    return v;
  }
  template <class Range>
  static Value view(Kind kind, const Range& range, bool flag = false) {
    Value v(kind);
    v.flag_ = flag;
    v.size_ = static_cast<uint32_t>(range.size());
    v.pointer_ = range.data();
    return v;
  }
  static Value object(Kind kind, const void* pointer) {
    Value v(kind);
    v.pointer_ = pointer;
    return v;
  }

  Kind kind_ = Kind::Missing;
  bool flag_ = false;
  Kind owner_ = Kind::Missing;
  uint32_t size_ = 0;
  union {  // NOLINTBEGIN(readability-identifier-naming): members of Value, as private as the union
    int64_t integer_ = 0;
    double number_;
    const void* pointer_;
  };  // NOLINTEND(readability-identifier-naming)
};

struct DictEntry {
  Value key, value;
};

/// In order of insertion. Lookup is linear: dicts of templates are small.
struct Dict {
  std::span<const DictEntry> entries = {};
};

struct Range {
  int64_t start = 0, stop = 0, step = 1, size = 0;
  Value at(int64_t i) const { return Value::integer(bound(i)); }
  /// Of the items from `first` on, `n` in strides, which end before item `end`.
  Range slice(int64_t first, int64_t end, int64_t stride, int64_t n) const {
    return {bound(first), bound(end), multiply(step, stride), n};
  }

 private:
  // Bounds that no item reaches may be beyond 64 bits; then they wrap, and are only printed.
  static int64_t multiply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
  int64_t bound(int64_t i) const {
    return static_cast<int64_t>(static_cast<uint64_t>(start) + static_cast<uint64_t>(multiply(i, step)));
  }
};

/// Python's name of a type: "str", "NoneType".
std::string_view type_name(Kind kind);

}  // namespace sw::jinja
