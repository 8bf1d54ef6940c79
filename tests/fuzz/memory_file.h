// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "fuzz/target.h"

namespace sw::fuzz {

/// A file without a disk, for code that wants a path.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", MFD_CLOEXEC)) { SW_ASSERT(fd_ >= 0); }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  void write(Bytes bytes) const {
    SW_ASSERT(ftruncate(fd_, static_cast<off_t>(bytes.size())) == 0);
    SW_ASSERT(pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  }
  void cut(size_t size_bytes) const { SW_ASSERT(ftruncate(fd_, static_cast<off_t>(size_bytes)) == 0); }

 private:
  int fd_;
};

}  // namespace sw::fuzz
