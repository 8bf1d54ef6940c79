// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

/// What both drivers share: the seeds, the CPU's clock and the limits on time and memory.
namespace sw::fuzz {

/// The contents of these files, and of all files below these folders, in the order of their paths.
std::vector<std::string> read_seeds(const std::vector<std::filesystem::path>& paths);

/// Of this process. The clock on the wall would count what other programs do.
double processor_seconds();

/// What the inputs of a run came to.
class Tally {
 public:
  explicit Tally(double max_seconds = 1.0) : max_seconds_(max_seconds) {}

  /// Counts an input; ends the process where it took longer than allowed or more memory than 64 MiB and its
  /// own size. `grown_bytes` is what memory grew by, where that can be told.
  void add(bool accepted, double seconds, std::optional<uint64_t> grown_bytes, uint64_t input_bytes);
  /// "N passed, 0 failed: ...", one line.
  std::string to_string() const;

 private:
  double max_seconds_;
  uint64_t n_accepted_ = 0, n_refused_ = 0;
  double slowest_s_ = 0;
  std::optional<uint64_t> grown_bytes_;  ///< the most, each input's own size left out
};

}  // namespace sw::fuzz
