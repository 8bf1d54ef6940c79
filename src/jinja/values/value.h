// SPDX-License-Identifier: MIT
#pragma once
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"

namespace sw::jinja {

struct BigInteger;
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
  BigInt,  ///< an int beyond 64 bits
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

/// Why a value is undefined.
struct Undefined {
  std::string_view text = {};  ///< the message in full, or with an `owner`: the name of what is not there
  /// Objects of this kind have no such attribute. Kind::Missing: there is no such variable.
  std::optional<Kind> owner = {};
};

/// How values stand for objects of one type. `Access`: that type, const where nothing can change the objects.
/// `kKind`: the kind of such a value, unless it is made as one of the others.
template <class T, Kind kind, Kind... others>
struct ObjectOf {
  using Access = T;
  static constexpr Kind kKind = kind;
  static constexpr bool has(Kind k) { return k == kind || ((k == others) || ...); }
};
/// The ObjectOf of each type T that a value may stand for.
template <class T>
struct ObjectTraits;
template <>
struct ObjectTraits<Dict> : ObjectOf<const Dict, Kind::Dict, Kind::Keys, Kind::Values, Kind::Items> {};
template <>
struct ObjectTraits<BigInteger> : ObjectOf<const BigInteger, Kind::BigInt> {};
template <>
struct ObjectTraits<Range> : ObjectOf<const Range, Kind::Range> {};
template <>
struct ObjectTraits<Macro> : ObjectOf<const Macro, Kind::Macro> {};
template <>
struct ObjectTraits<BoundMethod> : ObjectOf<const BoundMethod, Kind::Method> {};
template <>
struct ObjectTraits<Native> : ObjectOf<const Native, Kind::Function> {};
template <>
struct ObjectTraits<Generator> : ObjectOf<Generator, Kind::Generator> {};
template <>
struct ObjectTraits<Namespace> : ObjectOf<Namespace, Kind::Namespace> {};
template <>
struct ObjectTraits<LoopState> : ObjectOf<LoopState, Kind::Loop> {};

/// A value of a running template: 16 bytes, copied freely. Text and containers are views of memory that the
/// Budget, the template's tree or the caller's input owns; all of it is immutable but Namespace, Generator
/// and Loop. So no value needs a destructor, and no chain of values, however deep, can overflow the stack.
class Value {
 public:
  /// Missing.
  Value() = default;
  // Python's bool, int and float, each of its own types only: no pointer becomes a bool, no size an int.
  explicit Value(std::same_as<bool> auto b) : kind_(Kind::Bool), integer_(b) {}
  explicit Value(std::signed_integral auto i) : kind_(Kind::Int), integer_(i) {}
  explicit Value(std::same_as<double> auto d) : kind_(Kind::Float), number_(d) {}
  static Value none() { return Value(Kind::None); }
  /// `markup`: what Python calls Markup, text that |safe or |escape made.
  static Value text(std::string_view s, bool markup = false) { return view(Kind::Str, s, markup); }
  /// Of `kind` List or Tuple.
  static Value sequence(Kind kind, std::span<const Value> items) { return view(kind, items); }
  static Value undefined(const Undefined& why) {
    Value v = view(Kind::Undefined, why.text, why.owner.has_value());
    v.owner_ = why.owner.value_or(Kind::Missing);
    return v;
  }
  /// The object stays where it is. `kind` is for a Dict alone, which its views stand for too.
  template <class T>
  static Value object(typename ObjectTraits<T>::Access* object, Kind kind = ObjectTraits<T>::kKind) {
    SW_ASSERT(ObjectTraits<T>::has(kind));
    Value v(kind);
    v.pointer_ = object;
    return v;
  }

  Kind kind() const { return kind_; }
  /// Whether the value is of one of these kinds.
  bool is(std::same_as<Kind> auto... kinds) const { return ((kind_ == kinds) || ...); }

  // Each only where kind() says so.
  int64_t as_integer() const { return integer_; }  ///< also of a bool
  double as_number() const { return kind_ == Kind::Float ? number_ : static_cast<double>(integer_); }
  std::string_view as_text() const { return {static_cast<const char*>(pointer_), size_}; }
  std::span<const Value> as_items() const { return {static_cast<const Value*>(pointer_), size_}; }
  /// Why it is undefined.
  Undefined as_undefined() const { return {as_text(), flag_ ? std::optional(owner_) : std::nullopt}; }
  /// The object of type T that the value stands for.
  template <class T>
  typename ObjectTraits<T>::Access& as() const {
    SW_ASSERT(ObjectTraits<T>::has(kind_));
    return *static_cast<T*>(const_cast<void*>(pointer_));
  }

  bool is_markup() const { return kind_ == Kind::Str && flag_; }
  /// Whether both are views of the same memory, or the same object.
  bool same_object(const Value& other) const { return pointer_ == other.pointer_ && size_ == other.size_; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  template <class Range>
  static Value view(Kind kind, const Range& range, bool flag = false) {
    Value v(kind);
    v.flag_ = flag;
    v.size_ = static_cast<uint32_t>(range.size());
    v.pointer_ = range.data();
    return v;
  }

  Kind kind_ = Kind::Missing;
  bool flag_ = false;           // of text: is Markup; of Undefined: has an owner
  Kind owner_ = Kind::Missing;  // of Undefined
  uint32_t size_ = 0;
  union {  // NOLINTBEGIN(readability-identifier-naming): members of Value, as private as the union
    int64_t integer_ = 0;
    double number_;
    const void* pointer_;
  };  // NOLINTEND(readability-identifier-naming)
};

/// Python's int, of which bool is a kind; only the small ones have an as_integer().
inline bool is_small_integer(const Value& v) { return v.is(Kind::Int, Kind::Bool); }
inline bool is_integer(const Value& v) { return v.is(Kind::Int, Kind::Bool, Kind::BigInt); }
inline bool is_number(const Value& v) { return is_integer(v) || v.is(Kind::Float); }
inline bool is_sequence(const Value& v) { return v.is(Kind::List, Kind::Tuple); }

struct DictEntry {
  Value key, value;
};

/// In order of insertion. Lookup is linear: dicts of templates are small.
struct Dict {
  std::span<const DictEntry> entries = {};
};

struct Range {
  int64_t start = 0, stop = 0, step = 1, size = 0;
  Value at(int64_t i) const { return Value(bound(i)); }
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
