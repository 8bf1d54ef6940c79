// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sw {

/// GPT-2's alphabet: each of the 256 bytes as one printable code point, so that tokens can stand in
/// JSON. Printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up in byte order.
const std::array<char32_t, 256>& byte_alphabet();

/// Bytes -> their text in the alphabet.
std::string to_byte_level(std::string_view bytes);

/// The text of a token -> its bytes; nothing where a character is not of the alphabet.
std::optional<std::string> from_byte_level(std::string_view text);

}  // namespace sw
