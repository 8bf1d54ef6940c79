// SPDX-License-Identifier: MIT
#include "tokenizer/byte_level.h"

#include "text/utf8.h"

namespace sw {
namespace {

constexpr bool is_printable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kFirstStandIn = 0x100;

constexpr auto make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = kFirstStandIn;
  for (uint32_t byte = 0; byte < 256; ++byte) alphabet[byte] = is_printable(byte) ? byte : next++;
  return alphabet;
}

constexpr std::array<char32_t, 256> kAlphabet = make_alphabet();
constexpr char32_t kEnd = 0x144;  // one past the last stand-in

constexpr auto make_inverse() {
  std::array<int16_t, kEnd> inverse{};
  inverse.fill(-1);
  for (int16_t byte = 0; byte < 256; ++byte) inverse[kAlphabet[static_cast<size_t>(byte)]] = byte;
  return inverse;
}

constexpr std::array<int16_t, kEnd> kInverse = make_inverse();

}  // namespace

const std::array<char32_t, 256>& byte_alphabet() { return kAlphabet; }

std::string to_byte_level(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(kAlphabet[static_cast<uint8_t>(byte)], text);
  return text;
}

std::optional<std::string> from_byte_level(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = next_utf8(text);
    const bool known = step.kind == Utf8Step::Kind::Valid && step.code_point < kEnd;
    const int16_t byte = known ? kInverse[step.code_point] : int16_t{-1};
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    text.remove_prefix(step.length);
  }
  return bytes;
}

}  // namespace sw
