// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/error.h"
#include "base/map_guard.h"

namespace sw {

/// A disk, a quota or a limit on files has no more room.
class NoSpaceError : public SystemError {
 public:
  using SystemError::SystemError;
};

/// Bytes done of bytes in all, for a progress bar. May be empty.
using Progress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

/// Why a file is read: as an input, which no output may replace, or to be written again with more in it.
enum class Reading { Input, Update };

/// A whole file mapped read-only. Throws sw::Error where the path is missing, unreadable, a folder or
/// not a regular file. Should the file shrink while it is mapped, what is gone reads as zeros.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path, Reading reading = Reading::Input);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_bytes_}; }
  const std::filesystem::path& path() const { return path_; }
  /// Throws sw::SystemError where the file was written to or cut since it was mapped. One system call.
  void check_unchanged() const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
  int fd_ = -1;
  int64_t modified_ns_ = 0;
  MapGuard guard_;
};

/// Reads a whole file as bytes, unchanged. `max_bytes` bounds the allocation.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 32,
                      Reading reading = Reading::Input);

/// What a file holds by its first bytes. Models are large and hard to get again: only a file of the same kind
/// takes the place of one.
enum class FileKind { Other, Gguf, Safetensors };

/// Writes a file without a name, or under a temporary one where the file system needs that; only commit()
/// gives it its name, after fsync of file and folder. Destroyed without commit, nothing remains. A symbolic
/// link is followed. Throws sw::Error where no file can be created (no folder, no permission), where
/// something else than a file is there, an input of this run (see InputProtection) or a model of another kind
/// than is to be written; sw::NoSpaceError where the disk is full, sw::SystemError where it cannot be
/// written.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path, FileKind kind = FileKind::Other);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(const std::string& text) { write(std::as_bytes(std::span(text))); }
  uint64_t size_bytes() const { return size_bytes_; }
  /// Nothing more will be written: all is on disk and closed, under a temporary name.
  void seal();
  /// Seals where that was not done, and gives the file its name.
  void commit();

 private:
  template <class Make>
  int under_free_name(const Make& make);
  void flush();
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_, folder_, temporary_;
  std::string pending_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
};

/// Removes the temporary files that killed processes left in a folder: those with names as AtomicFile makes
/// them, of processes that are no more. Returns how many. Before this process writes there,
/// and only where no other machine or container writes. Throws sw::Error where the folder cannot be read.
int remove_leftovers(const std::filesystem::path& folder);

/// Throws what AtomicFile throws where no file can be made, to say so before the work. Leaves nothing behind.
inline void check_writable(const std::filesystem::path& path, FileKind kind = FileKind::Other) {
  const AtomicFile probe(path, kind);
}

}  // namespace sw
