// SPDX-License-Identifier: MIT
#pragma once
#include <string>

namespace sw::cli {

/// A text with \n, \r, \t, \\, \" and \' read as one character each, which a shell passes as two. Other
/// backslashes stay.
std::string unescape(const std::string& text);

}  // namespace sw::cli
