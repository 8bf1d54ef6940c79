// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <span>
#include <string_view>

namespace sw {

/// Keys of a checkpoint's JSON files that change no result, with the reason.
struct IdleKeys {
  std::string_view why = {};
  std::span<const std::string_view> names = {};
};

/// The reason why a key is idle by one of these lists, or by its name; empty where nothing is known of it.
inline std::string_view why_idle(std::span<const IdleKeys> lists, std::string_view key) {
  if (key.starts_with('_')) return "it is private to the library that wrote it";
  for (const IdleKeys& idle : lists) {
    if (std::ranges::find(idle.names, key) != idle.names.end()) return idle.why;
  }
  return {};
}

}  // namespace sw
