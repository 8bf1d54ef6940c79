// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sw::testing {

/// What a program printed and how it ended.
struct ProcessResult {
  int exit_code = -1;  ///< -signal where a signal ended it
  std::string out = {}, err = {};
  double processor_s = 0;  ///< the CPU's time that it took
};

/// What refusing a bad file may cost of the CPU's time; a sanitizer needs most of it to start.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kMaxRefusalSeconds = 2.0;
#else
constexpr double kMaxRefusalSeconds = 0.2;
#endif

struct ProcessOptions {
  std::string input = {};                     ///< its standard input
  std::vector<std::string> environment = {};  ///< "NAME=value", added
  double signal_after_s = 0;                  ///< > 0: send `signal` then
  int signal = 0;
  std::function<void()> at_first_output = {};  ///< called once, when something has come to its output
  std::string output_file = {};                ///< its standard output goes there instead
  std::string input_file = {};                 ///< its standard input comes from there instead
  std::vector<int> closed = {};                ///< standard streams that it starts without
  uint64_t max_memory_bytes = 0;               ///< > 0: `ulimit -v`
  uint64_t max_file_bytes = 0;                 ///< > 0: `ulimit -f`
};

/// In a child: becomes the built `switchyard`.
[[noreturn]] void become_switchyard(const std::vector<std::string>& arguments);

/// Runs the built `switchyard` with these arguments and waits for it.
ProcessResult run_switchyard(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

}  // namespace sw::testing
