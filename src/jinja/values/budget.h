// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "jinja/values/value.h"

namespace sw::jinja {

/// Templates of models have 20 KiB at most. What a template of this size costs to parse, and what the steps
/// cost to take, is a few ten milliseconds on one core: a server renders templates from strangers.
constexpr size_t kMaxSourceBytes = size_t{128} << 10;
/// Blocks, brackets and operators inside each other in a template; macros that call each other.
constexpr int kMaxNesting = 256;
/// Nodes of the tree and values inside each other at one moment of a rendering, through all its macros.
constexpr int kMaxEvaluationDepth = 3000;
constexpr int64_t kMaxSteps = 1'000'000;
constexpr size_t kMaxOutputBytes = size_t{8} << 20;
/// Everything that one rendering makes.
constexpr size_t kMaxMemoryBytes = size_t{24} << 20;

/// What one rendering may use up, and the memory of its values. Every limit that is passed throws sw::Error.
class Budget {
 public:
  Budget() = default;
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  /// Steps are counted in quarters of some ten nanoseconds: a call and a pass of a loop cost a whole one, a
  /// node of the tree a quarter, and what goes through texts and lists in proportion to their sizes.
  static constexpr int64_t kStep = 4;
  void spend(int64_t quarters = 1) {
    quarters_left_ -= quarters;
    if (quarters_left_ < 0) fail_out_of_steps();
  }
  /// For copying or searching `n` bytes.
  void spend_bytes(size_t n) { spend(static_cast<int64_t>(n / 8)); }
  /// For work on each of `n` letters that takes longer.
  void spend_letters(size_t n) { spend(static_cast<int64_t>(4 * n)); }
  /// For comparing each of `n` names.
  void spend_scan(size_t n) { spend(static_cast<int64_t>(n / 2)); }
  /// For looking for `wanted` in all of `text`.
  void spend_search(std::string_view text, std::string_view wanted);

  // What these give lives until the Budget goes.
  template <class T>
  T* make(T value) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    return new (allocate(sizeof(T))) T(std::move(value));
  }
  template <class T>
  std::span<T> make_array(size_t n) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    spend(static_cast<int64_t>(n));
    T* items = static_cast<T*>(allocate(n * sizeof(T)));
    std::uninitialized_value_construct_n(items, n);
    return {items, n};
  }
  std::span<const Value> copy(std::span<const Value> values);
  std::string_view copy(std::string_view text);
  Value text(std::string_view s, bool markup = false) { return Value::text(copy(s), markup); }
  /// Of a chain of texts each is copied once: what was made last grows in its place.
  Value concat(std::string_view left, std::string_view right, bool markup = false);

  /// Where the template is now, for messages. Lines count from one.
  void at_line(int line) { line_ = line; }
  int line() const { return line_; }
  [[noreturn]] void fail(std::string what) const;

  /// Counts how deep evaluation has gone while it lives.
  class Deeper {
   public:
    explicit Deeper(Budget& budget) : budget_(budget) {
      if (++budget_.depth_ > kMaxEvaluationDepth) budget_.fail_too_deep();
    }
    ~Deeper() { --budget_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Budget& budget_;
  };

 private:
  static constexpr size_t kAlignment = 8;

  [[noreturn]] void fail_out_of_steps() const;
  [[noreturn]] void fail_too_deep();
  void* allocate(size_t n_bytes, size_t alignment = kAlignment);
  std::byte* new_chunk(size_t n_bytes);

  int64_t quarters_left_ = kMaxSteps * kStep;
  int depth_ = 0, line_ = 1;
  size_t used_bytes_ = 0;
  std::byte *next_ = nullptr, *end_ = nullptr;
  std::vector<std::unique_ptr<std::byte[]>> chunks_ = {};
};

/// Text that grows within the limits.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) {}
  void add(std::string_view s) {
    budget_.spend_bytes(s.size());
    if (text_.size() + s.size() > kMaxOutputBytes) fail_too_long();
    text_.append(s);
  }
  void add(char c) { add(std::string_view(&c, 1)); }
  void add(char c, size_t n);
  size_t size() const { return text_.size(); }
  std::string_view view() const { return text_; }
  /// Back to the first `size` bytes.
  void cut(size_t size) { text_.resize(size); }
  Value value(bool markup = false) const { return budget_.text(text_, markup); }
  std::string take() { return std::move(text_); }
  Budget& budget() const { return budget_; }

 private:
  [[noreturn]] void fail_too_long() const;
  Budget& budget_;
  std::string text_ = {};
};

/// An sw::Error at a line of the template.
[[noreturn]] void fail_at_line(int line, std::string what);

}  // namespace sw::jinja
