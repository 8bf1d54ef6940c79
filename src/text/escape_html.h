// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>

namespace sw {

/// Text as it stands in XML and HTML, between tags or in an attribute; quotes as markupsafe writes them.
inline std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace sw
