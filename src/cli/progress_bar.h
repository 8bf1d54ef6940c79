// SPDX-License-Identifier: MIT
#pragma once
#include <chrono>
#include <string>

#include "base/file.h"

namespace sw::cli {

/// Work done on stderr: a bar with rate and time left on a terminal, a plain line every 10 % elsewhere.
class ProgressBar {
 public:
  enum class Unit { Bytes, Tokens };
  static constexpr double kQuietSeconds = 0.5;  ///< what is done sooner shows nothing
  explicit ProgressBar(std::string what, Unit unit = Unit::Bytes);
  ~ProgressBar() { finish(); }
  /// Done of all, in the bar's unit. Clears the line where all is done.
  Progress callback() {
    return [this](uint64_t done, uint64_t total) { show(done, total); };
  }
  /// Clears the bar's line.
  void finish();

 private:
  void show(uint64_t done, uint64_t total);

  std::string what_;
  Unit unit_;
  bool terminal_, drawn_ = false;
  int last_tenth_ = 0;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace sw::cli
