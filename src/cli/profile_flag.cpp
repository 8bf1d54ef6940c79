// SPDX-License-Identifier: MIT
#include "cli/profile_flag.h"

#include <fmt/core.h>

#include "base/error.h"
#include "base/log.h"

namespace sw::cli {
namespace {

bool is_on(const std::string& value) { return value == "on" || value == "1" || value == "true"; }
bool is_off(const std::string& value) { return value == "off" || value == "0" || value == "false"; }

std::string check_value(std::string& value) {
  if (is_on(value) || is_off(value) || value == "layers") return {};
  return "expected on, off or layers, got " + printable(value, 40);
}

}  // namespace

bool ProfileFlag::wanted() const { return !is_off(value); }

CLI::Option* add_profile_flag(CLI::App& command, ProfileFlag& flag) {
  return command
      .add_option("--profile", flag.value,
                  "show the time of each operation, and how fast it reads weights; layers: layer by layer")
      ->expected(0, 1)
      ->check(CLI::Validator(check_value, "{on,off,layers}"));
}

std::vector<ProfileDevice> begin_profile(Forward& forward) {
  std::vector<ProfileDevice> devices = profile_devices(forward);
  for (const ProfileDevice& device : devices) {
    if (device.read_limit > 0)
      log::info("profile: {} reads {:.1f} GB/s at best", device.name, device.read_limit / 1e9);
  }
  if (forward.can_record()) {
    log::info(
        "profile: decode steps that are profiled are not replayed from their recording, and take longer");
  }
  return devices;
}

std::string describe_profile(const std::string& title, const ProfileSummary& profile,
                             const std::vector<ProfileDevice>& devices) {
  return fmt::format("{}: {} pass{}, {} token{}, {:.4f} s\n\n{}", title, profile.n_pass,
                     profile.n_pass == 1 ? "" : "es", profile.n_token, profile.n_token == 1 ? "" : "s",
                     profile.wall_s, profile_table(profile, devices));
}

}  // namespace sw::cli
