// SPDX-License-Identifier: MIT
#include "cli/foreign_flags.h"

#include <algorithm>
#include <array>

namespace sw::cli {
namespace {

using Kind = ForeignFlag::Kind;
using Takes = ForeignFlag::Takes;

constexpr ForeignFlag kFlags[] = {
#define SW_ALIAS(command, names, option) {command, names, Kind::Alias, Takes::Nothing, option},
#define SW_NO_EFFECT(command, names, takes, why) {command, names, Kind::NoEffect, Takes::takes, why},
#define SW_REFUSED(command, names, instead) {command, names, Kind::Refused, Takes::Nothing, instead},
#include "cli/foreign_flags.inc"
#undef SW_ALIAS
#undef SW_NO_EFFECT
#undef SW_REFUSED
};

}  // namespace

std::vector<std::string_view> split_names(std::string_view names) {
  std::vector<std::string_view> out;
  while (!names.empty()) {
    const size_t end = names.find(' ');
    out.push_back(names.substr(0, end));
    names.remove_prefix(end == names.npos ? names.size() : end + 1);
  }
  return out;
}

const ForeignFlag* find_foreign_flag(std::string_view name, std::string_view command) {
  const ForeignFlag* found = nullptr;
  for (const ForeignFlag& flag : kFlags) {
    if (!flag.command.empty() && flag.command != command) continue;
    const std::vector<std::string_view> names = split_names(flag.names);
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    if (!found || found->command.empty()) found = &flag;
  }
  return found;
}

std::vector<std::string_view> aliases_of(std::string_view option) {
  std::vector<std::string_view> out;
  for (const ForeignFlag& flag : kFlags) {
    if (flag.kind != Kind::Alias || flag.text != option) continue;
    const std::vector<std::string_view> names = split_names(flag.names);
    out.insert(out.end(), names.begin(), names.end());
  }
  return out;
}

bool is_switch_word(std::string_view word) {
  constexpr std::array<std::string_view, 9> kWords = {"on",   "off",   "auto",    "0",       "1",
                                                      "true", "false", "enabled", "disabled"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

}  // namespace sw::cli
