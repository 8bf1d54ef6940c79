// SPDX-License-Identifier: MIT
#pragma once
#include <fmt/core.h>
#include <string>
#include <string_view>
#include <utility>

/// Progress notes for people: stderr, one line each. Results never come this way.
namespace sw::log {

enum class Level { Debug, Info, Warn, Error, Off };

void set_level(Level level);
/// Adds a file that gets every line, time-stamped.
void set_file(const std::string& path);
void write(Level level, std::string_view line);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::Debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::Info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::Warn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::Error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sw::log
