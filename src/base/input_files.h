// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>

namespace sw {

/// While one lives, no AtomicFile takes the place of a file that was opened for reading since, by whatever
/// name or link, nor of the file that is the standard input. A program has one for all its life; what may be
/// called without one and reads a file to write another has its own.
class InputProtection {
 public:
  InputProtection();
  ~InputProtection();
  InputProtection(const InputProtection&) = delete;
  InputProtection& operator=(const InputProtection&) = delete;
};

/// A file is read: from now on it is an input. Any thread. Nothing where no InputProtection lives.
void note_input(const std::filesystem::path& path);

/// Throws sw::Error where `out` is an input. Cost: two system calls for each input.
void refuse_input_as_output(const std::filesystem::path& out);

}  // namespace sw
