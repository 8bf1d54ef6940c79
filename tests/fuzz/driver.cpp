// SPDX-License-Identifier: MIT
#include "fuzz/driver.h"

#include <algorithm>
#include <ctime>
#include <fmt/core.h>

#include "base/file.h"
#include "fuzz/outcome.h"

namespace sw::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxGrownBytes = uint64_t{64} << 20;

}  // namespace

std::vector<std::string> read_seeds(const std::vector<fs::path>& paths) {
  std::vector<fs::path> files;
  for (const fs::path& path : paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> contents;
  for (const fs::path& file : files) contents.push_back(read_file(file));
  return contents;
}

double processor_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void Tally::add(bool accepted, double seconds, std::optional<uint64_t> grown_bytes, uint64_t input_bytes) {
  (accepted ? n_accepted_ : n_refused_)++;
  slowest_s_ = std::max(slowest_s_, seconds);
  if (seconds > max_seconds_) give_up(fmt::format("an input took {:.3f} s", seconds));
  if (!grown_bytes) return;
  const uint64_t beyond_input = *grown_bytes - std::min(*grown_bytes, input_bytes);
  grown_bytes_ = std::max(grown_bytes_.value_or(0), beyond_input);
  if (beyond_input > kMaxGrownBytes) give_up(fmt::format("an input took {} KiB", beyond_input >> 10));
}

std::string Tally::to_string() const {
  std::string line = fmt::format("{} passed, 0 failed: {} accepted, {} refused; slowest {:.0f} ms",
                                 n_accepted_ + n_refused_, n_accepted_, n_refused_, slowest_s_ * 1e3);
  if (grown_bytes_) line += fmt::format("; most memory {} KiB beside the input", *grown_bytes_ >> 10);
  return line;
}

}  // namespace sw::fuzz
