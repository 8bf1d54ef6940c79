// SPDX-License-Identifier: MIT
#include "jinja/values/budget.h"

#include <algorithm>
#include <cstring>
#include <fmt/core.h>

#include "base/error.h"

namespace sw::jinja {

void fail_at_line(int line, std::string what) {
  throw Error({.what = std::move(what), .where = fmt::format("chat template, line {}", line)});
}

void Budget::fail(std::string what) const { fail_at_line(line_, std::move(what)); }

void Budget::fail_out_of_steps() const {
  fail(fmt::format("the template takes too long: more than {} steps", kMaxSteps));
}

void Budget::fail_too_deep() {
  --depth_;  // the Deeper that called this is never destroyed
  fail(fmt::format("the template goes too deep: more than {} levels", kMaxEvaluationDepth));
}

void Budget::spend_search(std::string_view text, std::string_view wanted) {
  spend_bytes(text.size());
  if (wanted.empty()) return;
  const auto n_candidates = std::ranges::count(text, wanted[0]);
  spend(n_candidates * static_cast<int64_t>(1 + wanted.size() / 32));
}

void* Budget::allocate(size_t n_bytes, size_t alignment) {
  spend();
  const size_t n_skipped = -reinterpret_cast<uintptr_t>(next_) % alignment;
  if (n_skipped + n_bytes <= static_cast<size_t>(end_ - next_)) {
    std::byte* memory = next_ + n_skipped;
    next_ = memory + n_bytes;
    return memory;
  }
  if (n_bytes > kMaxMemoryBytes || used_bytes_ + n_bytes > kMaxMemoryBytes) {
    fail(fmt::format("the template needs too much memory: more than {} MiB", kMaxMemoryBytes >> 20));
  }
  return new_chunk(n_bytes);
}

std::byte* Budget::new_chunk(size_t n_bytes) {
  constexpr size_t kLeastBytes = size_t{16} << 10, kMostBytes = size_t{1} << 20;
  const size_t usual = std::clamp(used_bytes_, kLeastBytes, kMostBytes);
  const bool alone = n_bytes > usual / 4;  // what is big does not waste the rest of the chunk in use
  const size_t size = alone ? n_bytes : usual;
  chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(size));
  used_bytes_ += size;
  std::byte* memory = chunks_.back().get();
  if (!alone) {
    next_ = memory + n_bytes;
    end_ = memory + size;
  }
  return memory;
}

std::span<const Value> Budget::copy(std::span<const Value> values) {
  const std::span<Value> to = make_array<Value>(values.size());
  std::copy(values.begin(), values.end(), to.begin());
  return to;
}

std::string_view Budget::copy(std::string_view text) {
  spend_bytes(text.size());
  char* to = static_cast<char*>(allocate(text.size(), 1));
  std::copy(text.begin(), text.end(), to);
  return {to, text.size()};
}

Value Budget::concat(std::string_view left, std::string_view right, bool markup) {
  if (left.size() + right.size() > kMaxOutputBytes) {
    fail(fmt::format("a text grows too long: more than {} MiB", kMaxOutputBytes >> 20));
  }
  const bool left_was_last = left.data() + left.size() == reinterpret_cast<const char*>(next_);
  if (left_was_last && right.size() <= static_cast<size_t>(end_ - next_)) {
    copy(right);
    return Value::text({left.data(), left.size() + right.size()}, markup);
  }
  spend_bytes(left.size() + right.size());
  char* to = static_cast<char*>(allocate(left.size() + right.size(), 1));
  std::copy(right.begin(), right.end(), std::copy(left.begin(), left.end(), to));
  return Value::text({to, left.size() + right.size()}, markup);
}

void TextBuilder::add(char c, size_t n) {
  if (n > kMaxOutputBytes - text_.size()) fail_too_long();
  budget_.spend_bytes(n);
  text_.append(n, c);
}

void TextBuilder::fail_too_long() const {
  budget_.fail(fmt::format("the template writes too much: more than {} MiB", kMaxOutputBytes >> 20));
}

}  // namespace sw::jinja
