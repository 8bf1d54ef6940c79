// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "support/test_data.h"

namespace sw::testing {

/// tests/tools/make_pretokenizer_fixture.py: mixed strings and, per column, a hash for each ten of them.
struct MixedStrings {
  static constexpr size_t kPerHash = 10;
  std::vector<std::string> strings;
  std::map<std::string, std::vector<uint32_t>> columns;
};

inline MixedStrings read_mixed_strings() {
  const std::string file = read_file(source_dir() / "tests/data/pretokenizer/mixed.bin");
  size_t at = 0;
  const auto number = [&](size_t n_bytes) {
    uint32_t value = 0;
    std::memcpy(&value, file.data() + at, n_bytes);
    at += n_bytes;
    return value;
  };
  const auto text = [&](size_t length_bytes) {
    const uint32_t n = number(length_bytes);
    at += n;
    return file.substr(at - n, n);
  };
  MixedStrings mixed;
  std::vector<std::string> names(number(4));
  for (std::string& name : names) name = text(1);
  mixed.strings.resize(number(4));
  for (std::string& s : mixed.strings) s = text(2);
  for (const std::string& name : names) {
    for (size_t i = 0; i < mixed.strings.size(); i += MixedStrings::kPerHash)
      mixed.columns[name].push_back(number(4));
  }
  EXPECT_EQ(at, file.size());
  EXPECT_EQ(mixed.strings.size(), 10'000u);
  return mixed;
}

/// FNV-1a 64, its halves xored.
inline uint32_t fixture_hash(std::string_view bytes) {
  uint64_t h = 0xCBF29CE484222325;
  for (const char byte : bytes) h = (h ^ static_cast<uint8_t>(byte)) * 0x100000001B3;
  return static_cast<uint32_t>(h >> 32 ^ h);
}

template <class Number>
uint32_t fixture_hash(std::span<const Number> numbers) {
  static_assert(sizeof(Number) == 4);
  return fixture_hash({reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()});
}

/// Whether hash_of(string) makes what the column says, string by string.
template <class F>
void expect_column(const MixedStrings& mixed, const std::string& name, F&& hash_of) {
  ASSERT_TRUE(mixed.columns.contains(name)) << name << ": make the fixture anew";
  const std::vector<uint32_t>& expected = mixed.columns.at(name);
  constexpr size_t kShown = 5;
  size_t n_wrong = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    std::vector<uint32_t> hashes;
    std::string texts;
    for (size_t s = i * MixedStrings::kPerHash; s < (i + 1) * MixedStrings::kPerHash; ++s) {
      hashes.push_back(hash_of(mixed.strings[s]));
      texts += "\n  " + std::to_string(s) + ": " + mixed.strings[s];
    }
    if (fixture_hash(std::span<const uint32_t>(hashes)) == expected[i] || ++n_wrong > kShown) continue;
    ADD_FAILURE() << name << ", one of these strings:" << texts;
  }
  EXPECT_EQ(n_wrong, 0u) << name;
}

}  // namespace sw::testing
