// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <vector>

namespace sw::testing {

/// The built `switchyard` in a terminal of its own, typed to and read as a person would.
class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& arguments);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& keys);
  /// Reads until `text` came, counted from the end of the last wait; what came up to its end. Empty after
  /// `seconds` without it.
  std::string wait_for(const std::string& text, double seconds = 60);
  /// Reads what comes within `seconds`.
  std::string listen(double seconds);
  /// Waits for the program to end; its exit code, -signal, or -999 where it goes on.
  int exit_code(double seconds = 20);
  const std::string& transcript() const { return transcript_; }

 private:
  bool read_some(int timeout_ms);
  int fd_ = -1;
  int child_ = -1;
  std::string transcript_;
  size_t seen_ = 0;
};

}  // namespace sw::testing
