// SPDX-License-Identifier: MIT
#include "cli/escapes.h"

#include <string_view>

namespace sw::cli {

std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    constexpr std::string_view kNames = "nrt\\\"'", kCharacters = "\n\r\t\\\"'";
    const size_t which = text[i] == '\\' && i + 1 < text.size() ? kNames.find(text[i + 1]) : kNames.npos;
    if (which != kNames.npos) ++i;
    out += which != kNames.npos ? kCharacters[which] : text[i];
  }
  return out;
}

}  // namespace sw::cli
