// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>

#include "base/rng.h"

/// The values at which readers of files break.
namespace sw::fuzz {

constexpr uint64_t kEdgeNumbers[] = {
    0,          1,          2,          3,          4,          5,          7,          8,
    16,         31,         32,         33,         63,         64,         65,         127,
    128,        255,        256,        257,        0x7fff,     0x8000,     0xffff,     0x10000,
    0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 53, 1ull << 61, 1ull << 62, (1ull << 63) - 1,
    1ull << 63, ~0ull - 31, ~0ull - 1,  ~0ull};

template <class T, size_t N>
const T& pick(const T (&list)[N], Rng& rng) {
  return list[rng.below(N)];
}

/// An edge value, or `value` slightly changed.
inline uint64_t changed_number(uint64_t value, Rng& rng) {
  switch (rng.below(4)) {
    case 0:
      return value + rng.below(17) - 8;
    case 1:
      return value ^ (uint64_t{1} << rng.below(64));
    default:
      return pick(kEdgeNumbers, rng);
  }
}

inline std::string repeated(const std::string& text, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

/// Empty, long, not UTF-8, with a zero or a line end, a hard or endless pattern, a name that means
/// something elsewhere.
inline std::string edge_text(Rng& rng) {
  static const std::string texts[] = {
      "",
      std::string(1, '\0'),
      "\n",
      " ",
      "\x1b[31m",
      "\xff\xfe",
      "\xc3",
      "\xe2\x96\x81",
      "\xed\xa0\x80",
      "%s%n",
      "a b",
      " b",
      "a ",
      "<0x0A>",
      "<0xFFF>",
      "<|im_end|>",
      "(a*)*b",
      "(a+)+$",
      "(?R)",
      "(?=",
      "\\p{L}+",
      "\\s*",
      "",
      "[^\\r\\n\\p{L}\\p{N}]?",
      repeated("(", 10'000),
      repeated("(?:a?", 200) + repeated(")*", 200),
      std::string(70'000, 'x'),
      "{{ 1 }}",
      "general.architecture",
      "general.alignment",
      "bailingmoe2",
      "gpt2",
      "llama",
      "t5",
      "default",
      "qwen2",
      "../x",
      "token_embd.weight",
      "BPE",
      "F32",
      "NaN",
  };
  return pick(texts, rng);
}

}  // namespace sw::fuzz
