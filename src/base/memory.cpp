// SPDX-License-Identifier: MIT
#include "base/memory.h"

#include <algorithm>
#include <fmt/core.h>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"

namespace sw {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

/// The number behind `name` in a file of lines "name number"; 0 where there is none.
uint64_t number_of(const char* file, std::string_view name) {
  std::ifstream in(file);
  std::string word;
  while (in >> word) {
    uint64_t value = 0;
    if (word == name && in >> value) return value;
  }
  return 0;
}

/// A file that holds one number, or a word for "none".
std::optional<uint64_t> number_in(const char* file) {
  std::ifstream in(file);
  uint64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}

uint64_t left_of(uint64_t limit, uint64_t used) { return limit - std::min(limit, used); }

uint64_t left_on_machine() {
  const uint64_t kib = number_of("/proc/meminfo", "MemAvailable:") + number_of("/proc/meminfo", "SwapFree:");
  return kib == 0 ? kNoLimit : kib << 10;
}

uint64_t left_in_control_group() {
  const auto limit = number_in("/sys/fs/cgroup/memory.max");
  if (!limit) return kNoLimit;
  // Cached files count as used, and are given up when memory is asked for.
  const uint64_t used = number_in("/sys/fs/cgroup/memory.current").value_or(0);
  return left_of(*limit, left_of(used, number_of("/sys/fs/cgroup/memory.stat", "file")));
}

uint64_t left_of_address_space() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  const uint64_t n_page = number_in("/proc/self/statm").value_or(0);
  return left_of(limit.rlim_cur, n_page * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
}

}  // namespace

uint64_t available_memory_bytes() {
  return std::min({left_on_machine(), left_in_control_group(), left_of_address_space()});
}

uint64_t total_memory_bytes() { return number_of("/proc/meminfo", "MemTotal:") << 10; }

void refuse_memory(uint64_t needed_bytes, const std::string& where, const std::string& hint) {
  const uint64_t needed_mib = (needed_bytes >> 20) + 1, have_mib = available_memory_bytes() >> 20;
  throw SystemError(
      {.what = fmt::format("not enough memory: needs {} MiB, have {} MiB", needed_mib, have_mib),
       .where = where,
       .hint = hint});
}

}  // namespace sw
