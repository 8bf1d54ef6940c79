// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <optional>
#include <string_view>

namespace sw {

/// How many processors' worth of time a control group (version 2) may use, as `docker run --cpus` sets it:
/// the least of cpu.max of the group and of those above it. Nothing where there is no limit. `root` is where
/// the hierarchy is mounted, /sys/fs/cgroup; `self` what /proc/self/cgroup says.
std::optional<double> cpu_quota(const std::filesystem::path& root, std::string_view self);

/// This process's.
std::optional<double> cpu_quota();

}  // namespace sw
