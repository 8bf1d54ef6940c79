// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What Python's str does, on valid UTF-8. Everything here is O(bytes).
namespace sw::jinja {

/// The code point that begins at `at`, which moves behind it.
char32_t next_code_point(std::string_view text, size_t& at);
/// Code points.
size_t text_length(std::string_view text);
/// Where in the text code point `index` begins; the text's end where there are not so many.
size_t byte_offset(std::string_view text, size_t index);

/// Where `wanted` begins last; npos. Looks at each place with its first byte, as std::string_view::find does.
size_t find_last(std::string_view text, std::string_view wanted);

bool is_space(char32_t c);
/// str.strip: white space without `chars`, else each code point in `chars`.
enum class Side { Left, Right, Both };
std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side = Side::Both);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string swap_case(std::string_view text);
/// The first letter of each word as a capital, the others small.
std::string to_title(std::string_view text);
std::string capitalize(std::string_view text);
/// For comparisons that ignore case: "ß" becomes "ss".
std::string casefold(std::string_view text);

/// str.isalpha and its like: the name without "is".
enum class TextClass {
  Alpha,
  Digit,
  Decimal,
  Numeric,
  Alnum,
  Space,
  Lower,
  Upper,
  Title,
  Ascii,
  Identifier,
  Printable,
};
/// Nothing that repr() escapes.
bool is_printable(char32_t c);
bool is_text(TextClass what, std::string_view text);
/// May begin or stand in a name of the language.
bool is_name_character(char32_t c);

/// str.split with and without a separator (not empty), from the left or the right, at most `n_max` times
/// where it is not negative.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    long n_max);
std::vector<std::string_view> split_right(std::string_view text, std::optional<std::string_view> separator,
                                          long n_max);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

/// str.replace, at most `n_max` times where it is not negative. The caller bounds the result's size by
/// count_replaced().
std::string replace(std::string_view text, std::string_view from, std::string_view to, long n_max);
size_t count_replaced(std::string_view text, std::string_view from, long n_max);

/// `mark` ("\\u") and the number's last `n_digits` hexadecimal digits.
void append_hex(std::string_view mark, uint32_t number, int n_digits, std::string& out);

}  // namespace sw::jinja
