// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sw::fuzz {

/// Ends the process with a line, as a crash that both drivers keep the input of.
[[noreturn]] inline void give_up(const std::string& why) {
  std::fprintf(stderr, "FUZZ: %s\n", why.c_str());
  std::abort();
}

/// What the user sees must be one line of bounded length that names the file. The name may have more behind
/// it that the line must have too, such as ", offset ".
inline void check_line(std::string_view line, std::string_view file_name) {
  constexpr size_t kMaxLineBytes = 1100;
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const bool sound = !line.empty() && line.size() <= kMaxLineBytes &&
                     std::ranges::none_of(line, is_control) && line.find(file_name) != line.npos;
  if (!sound) give_up("a bad error line: " + std::string(line));
}

/// 1 where f() returns, 0 where it throws an sw::Error whose line is as it must be. Other exceptions pass
/// through and end the process.
template <class F>
int outcome(std::string_view file_name, F&& f) {
  try {
    f();
    return 1;
  } catch (const Error& e) {
    check_line(e.what(), file_name);
    return 0;
  }
}

}  // namespace sw::fuzz
