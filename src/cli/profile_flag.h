// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "eval/profile_report.h"

namespace sw::cli {

/// --profile, --profile=layers
struct ProfileFlag {
  std::string value = "off";

  bool wanted() const;
  ProfileBy by() const { return value == "layers" ? ProfileBy::Layer : ProfileBy::Operation; }
};
CLI::Option* add_profile_flag(CLI::App& command, ProfileFlag& flag);

/// Measures what the devices can do at best, and says so, and what a profile changes.
std::vector<ProfileDevice> begin_profile(Forward& forward);

/// A line that begins with `title`, and the table behind it, without a line end.
std::string describe_profile(const std::string& title, const ProfileSummary& profile,
                             const std::vector<ProfileDevice>& devices);

}  // namespace sw::cli
