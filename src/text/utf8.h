// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sw {

/// What stands at the front of a text.
struct Utf8Step {
  enum class Kind : uint8_t {
    Valid,      ///< one code point
    Invalid,    ///< bytes that no continuation can make valid (a maximal subpart, Unicode 3.9)
    Truncated,  ///< a good start, but the text ends here
  };
  Kind kind = Kind::Invalid;
  uint8_t length = 1;       ///< bytes it takes, at least 1
  char32_t code_point = 0;  ///< only where Valid
};

/// Looks at the first sequence of a non-empty text. O(1).
Utf8Step next_utf8(std::string_view text);

/// Looks at the last sequence of a non-empty text; where that is not valid, at its last byte. O(1).
Utf8Step last_utf8(std::string_view text);

/// Bytes of the leading run of ASCII; looks at eight at a time.
size_t ascii_prefix(std::string_view text);

/// Bytes of the longest prefix that is valid UTF-8; cheap on ASCII.
size_t valid_utf8_prefix(std::string_view text);

/// Bytes of the longest prefix in which no valid sequence begins.
size_t invalid_utf8_prefix(std::string_view text);

void append_utf8(char32_t code_point, std::string& out);

}  // namespace sw
