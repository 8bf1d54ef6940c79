// SPDX-License-Identifier: MIT
#include "base/cpu_quota.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace sw {
namespace {

/// "max 100000" or "150000 100000": microseconds of each period.
std::optional<double> read_limit(const std::filesystem::path& file) {
  std::ifstream in(file);
  double quota_us = 0, period_us = 0;
  if (in >> quota_us >> period_us && quota_us > 0 && period_us > 0) return quota_us / period_us;
  return std::nullopt;
}

/// The group's path: of the line "0::/path".
std::filesystem::path group_of(std::string_view self) {
  constexpr std::string_view kBegin = "0::/";
  size_t at = self.starts_with(kBegin) ? 0 : self.find("\n0::/");
  if (at == self.npos) return {};
  at = self.find('/', at) + 1;
  return std::string(self.substr(at, self.find('\n', at) - at));
}

}  // namespace

std::optional<double> cpu_quota(const std::filesystem::path& root, std::string_view self) {
  std::optional<double> least;
  std::filesystem::path group = group_of(self);
  for (;;) {
    const std::optional<double> limit = read_limit(root / group / "cpu.max");
    if (limit) least = std::min(least.value_or(*limit), *limit);
    if (group.empty()) return least;
    group = group.parent_path();
  }
}

std::optional<double> cpu_quota() {
  std::ifstream in("/proc/self/cgroup");
  std::ostringstream self;
  self << in.rdbuf();
  return cpu_quota("/sys/fs/cgroup", self.str());
}

}  // namespace sw
