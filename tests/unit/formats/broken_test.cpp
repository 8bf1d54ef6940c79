// SPDX-License-Identifier: MIT
// Hostile input: every broken file is refused in one line, and no mutation does anything else.
#include <cstring>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/broken_files.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ByteBuilder;
using Bytes = std::span<const std::byte>;

bool is_gguf(const std::string& name) { return name.ends_with(".gguf"); }

/// Reads every byte of every tensor, so that a wrong span shows under a sanitizer.
unsigned touch(const std::byte* data, size_t n) {
  return std::accumulate(data, data + n, 0u,
                         [](unsigned sum, std::byte b) { return sum + static_cast<unsigned>(b); });
}

unsigned load_gguf(Bytes bytes) {
  const GgufFile file(bytes, "test.gguf");
  unsigned sum = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    sum += touch(tensor.data, tensor.size_bytes);
    EXPECT_EQ(file.find_tensor(tensor.name), &tensor);
    EXPECT_GT(tensor.shape.n_elements(), 0);
  }
  for (const auto& [key, value] : file.metadata().entries()) EXPECT_EQ(file.metadata().find(key), &value);
  return sum;
}

unsigned load_safetensors(Bytes bytes) {
  const Safetensors file(bytes, "test.safetensors");
  unsigned sum = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    sum += touch(tensor.data.data(), tensor.data.size());
    EXPECT_EQ(Safetensors::to_f32(tensor).size(), static_cast<size_t>(tensor.shape.n_elements()));
  }
  return sum;
}

/// The error line, or "" where the bytes were accepted. Anything but sw::Error fails the test.
std::string refusal(const std::function<unsigned(Bytes)>& load, const std::string& bytes) {
  const Bytes text = testing::as_bytes(bytes);
  const std::vector<std::byte> exact(text.begin(),
                                     text.end());  // no zero byte behind that hides a read past the end
  try {
    load(exact);
  } catch (const Error& e) {
    std::string line = e.what();
    EXPECT_EQ(line.find('\n'), line.npos) << line;
    EXPECT_LE(line.size(), 1100u);
    EXPECT_FALSE(line.empty());
    return line;
  }
  return "";
}

TEST(Broken, EveryFileIsRefusedInOneLine) {
  const auto files = testing::broken_files();
  EXPECT_GE(files.size(), 60u);
  for (const auto& file : files) {
    SCOPED_TRACE(file.name);
    const std::string line = refusal(is_gguf(file.name) ? load_gguf : load_safetensors, file.bytes);
    EXPECT_NE(line.find(file.says), line.npos) << line;
    EXPECT_NE(line.find(is_gguf(file.name) ? "test.gguf, offset " : "test.safetensors, "), line.npos) << line;
    EXPECT_NE(line.find("offset"), line.npos) << line;
  }
}

TEST(Broken, EveryFileIsRefusedOnDiskToo) {
  const testing::TempDir dir;
  for (const auto& file : testing::broken_files()) {
    SCOPED_TRACE(file.name);
    const auto path = dir.path() / file.name;
    std::ofstream(path, std::ios::binary) << file.bytes;
    if (is_gguf(file.name)) {
      EXPECT_THROW(GgufFile{path}, Error);
    } else {
      EXPECT_THROW(Safetensors{path}, Error);
    }
    std::filesystem::remove(path);
  }
}

TEST(Broken, SoundFilesLoad) {
  EXPECT_EQ(refusal(load_gguf, testing::sound_gguf().bytes()), "");
  EXPECT_EQ(refusal(load_safetensors, testing::sound_safetensors()), "");
}

TEST(Broken, GgufCutAnywhereIsRefused) {
  const std::string whole = testing::sound_gguf().bytes();
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::string line = refusal(load_gguf, whole.substr(0, n));
    EXPECT_NE(line.find("offset"), line.npos) << n << " bytes: " << line;
  }
}

TEST(Broken, SafetensorsCutAnywhereIsRefused) {
  const std::string whole = testing::sound_safetensors();
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_NE(refusal(load_safetensors, whole.substr(0, n)), "") << n;
}

TEST(Broken, ArrayBeyondTheLimitIsRefused) {
  const uint64_t n = (1 << 24) + 1;
  const std::string bytes =
      ByteBuilder().raw("GGUF").u32(3).u64(0).u64(1).str("k").u32(9).u32(0).u64(n).zeros(n).bytes();
  const std::string line = refusal(load_gguf, bytes);
  EXPECT_NE(line.find("at most 16777216 items"), line.npos) << line;
}

TEST(Broken, TextOfTheFileIsMadePrintable) {
  const std::string bytes =
      ByteBuilder().raw("GGUF").u32(3).u64(0).u64(1).str("\x1b[31m\nkey").u32(7).u8(7).bytes();
  const std::string line = refusal(load_gguf, bytes);
  EXPECT_NE(line.find("\\x1b[31m\\x0akey"), line.npos) << line;
}

constexpr uint64_t kTellingNumbers[] = {
    0,          1,          2,          4,          5,          7,          31,     32,
    33,         64,         127,        128,        255,        256,        0xffff, 0x7fffffff,
    0x80000000, 0xffffffff, 1ull << 32, 1ull << 61, 1ull << 62, 1ull << 63, ~0ull,  ~0ull - 31};

/// Puts telling or slightly changed numbers where the file has numbers.
void mutate_number(std::string& bytes, const std::vector<ByteBuilder::Number>& numbers, Rng& rng) {
  const auto& at = numbers[rng.below(numbers.size())];
  if (at.offset + at.n_bytes > bytes.size()) return;
  uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at.offset, at.n_bytes);
  switch (rng.below(4)) {
    case 0:
      value = rng.next();
      break;
    case 1:
      value += rng.below(65) - 32;
      break;
    case 2:
      value ^= uint64_t{1} << rng.below(at.n_bytes * 8);
      break;
    default:
      value = kTellingNumbers[rng.below(std::size(kTellingNumbers))];
  }
  std::memcpy(bytes.data() + at.offset, &value, at.n_bytes);
}

/// Changes bytes anywhere: one bit, a cut, a part left out, a part doubled.
void mutate_bytes(std::string& bytes, Rng& rng) {
  if (bytes.empty()) return;
  const size_t at = rng.below(bytes.size());
  const size_t n = rng.below(std::min<size_t>(bytes.size() - at, 64) + 1);
  switch (rng.below(8)) {
    case 0:
      bytes.resize(at);
      break;
    case 1:
      bytes.erase(at, n);
      break;
    case 2:
      bytes.insert(at, bytes.substr(at, n));
      break;
    default:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
  }
}

TEST(Broken, MutatedGgufLoadsOrIsRefused) {
  const ByteBuilder sound = testing::sound_gguf();
  Rng rng(20260101);
  int n_loaded = 0, n_refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = sound.bytes();
    for (uint64_t n = 1 + rng.below(3); n-- > 0;) {
      if (rng.below(4) > 0) {
        mutate_number(bytes, sound.numbers(), rng);
      } else {
        mutate_bytes(bytes, rng);
      }
    }
    (refusal(load_gguf, bytes).empty() ? n_loaded : n_refused)++;
  }
  EXPECT_GT(n_loaded, 1000);
  EXPECT_GT(n_refused, 1000);
}

/// Replaces one run of digits of the header, or bytes anywhere.
void mutate_safetensors(std::string& bytes, Rng& rng) {
  if (rng.below(2) == 0) return mutate_bytes(bytes, rng);
  const size_t digit = bytes.find_first_of("0123456789", 8 + rng.below(bytes.size()));
  if (digit == bytes.npos) return;
  const size_t end = std::min(bytes.find_first_not_of("0123456789", digit), bytes.size());
  const uint64_t value =
      rng.below(2) ? rng.below(24) : kTellingNumbers[rng.below(std::size(kTellingNumbers))];
  const std::string text = std::to_string(value);
  bytes.replace(digit, end - digit, text);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  header_bytes += text.size() - (end - digit);
  std::memcpy(bytes.data(), &header_bytes, sizeof header_bytes);
}

TEST(Broken, MutatedSafetensorsLoadOrAreRefused) {
  const std::string sound = testing::sound_safetensors();
  Rng rng(20260102);
  int n_loaded = 0, n_refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = sound;
    for (uint64_t n = 1 + rng.below(3); n-- > 0 && bytes.size() > 8;) mutate_safetensors(bytes, rng);
    (refusal(load_safetensors, bytes).empty() ? n_loaded : n_refused)++;
  }
  EXPECT_GT(n_loaded, 500);
  EXPECT_GT(n_refused, 1000);
}

}  // namespace
}  // namespace sw
