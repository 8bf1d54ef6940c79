// SPDX-License-Identifier: MIT
#pragma once
#include <mutex>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "support/process.h"

namespace sw::testing {

/// The built `switchyard` while it runs. Killed where a test forgets it.
class RunningProgram {
 public:
  explicit RunningProgram(const std::vector<std::string>& arguments);
  ~RunningProgram();
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  /// The line of its standard error that has `part`, once it comes; throws where it ends without.
  std::string wait_for_line(const std::string& part);
  void signal(int number) const;
  /// Whether it has blocked a signal, to take it when it likes.
  bool blocks(int number) const;
  /// Its exit code, -signal where one ended it.
  int wait();
  /// What it wrote to standard error.
  std::string log() const;

 private:
  pid_t child_ = -1;
  int exit_code_ = 0;
  mutable std::mutex mutex_;
  std::string log_;
  bool ended_ = false;
  std::thread reader_;
};

}  // namespace sw::testing
