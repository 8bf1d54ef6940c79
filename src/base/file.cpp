// SPDX-License-Identifier: MIT
#include "base/file.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/error.h"
#include "base/input_files.h"
#include "base/memory.h"

namespace sw {
namespace {

constexpr size_t kPendingBytes = 1 << 20;
constexpr mode_t kNewFileMode = 0666;  // less what umask takes
constexpr int kMostLinks = 40;         // as the kernel follows

/// Of an existing file; Other where it cannot be read.
FileKind kind_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  char head[sizeof(uint64_t) + 1] = {};
  in.read(head, sizeof head);
  if (in.gcount() >= 4 && std::memcmp(head, "GGUF", 4) == 0) return FileKind::Gguf;
  // Safetensors: the header's size, then the header, a JSON object.
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, head, sizeof header_bytes);
  std::error_code unknown;
  const uint64_t size_bytes = std::filesystem::file_size(path, unknown);
  const bool fits = !unknown && header_bytes > 1 && header_bytes <= size_bytes - sizeof header_bytes;
  return in && fits && head[sizeof header_bytes] == '{' ? FileKind::Safetensors : FileKind::Other;
}

/// True where another path would do; else the machine is short of something.
bool is_paths_fault(int error) {
  const int of_paths[] = {ENOENT, ENOTDIR, EACCES, EPERM, EISDIR, ENAMETOOLONG, ELOOP, EROFS, EOPNOTSUPP};
  return std::ranges::find(of_paths, error) != std::end(of_paths);
}

/// Where a file written to `path` is to stand: behind a symbolic link, what it points to. Throws where
/// something else than a file is there: a rename would put a file in the place of /dev/null.
std::filesystem::path replaceable(const std::filesystem::path& path, FileKind kind) {
  namespace fs = std::filesystem;
  std::error_code error, ignored;
  if (path == "-") {
    throw Error({.what = "outputs do not go to the standard output",
                 .where = "-",
                 .expected = "a file's name",
                 .hint = "./- is a file of this name"});
  }
  const fs::file_status there = fs::status(path, error);
  if (error == std::errc::filename_too_long)
    throw Error({.what = "cannot create the output file", .where = path.string(), .got = error.message()});
  if (fs::exists(there) && !fs::is_regular_file(there)) {
    throw Error({.what = "cannot write an output file here",
                 .where = path.string(),
                 .expected = "a regular file or nothing yet",
                 .got = fs::is_directory(there) ? "a folder" : "a device, pipe or socket"});
  }
  refuse_input_as_output(path);
  const FileKind old = fs::exists(there) ? kind_of(path) : FileKind::Other;
  if (old != FileKind::Other && old != kind) {
    throw Error({.what = "this would replace a model by another kind of file",
                 .where = path.string(),
                 .got = old == FileKind::Gguf ? "a GGUF file" : "a safetensors file",
                 .hint = "remove it first, or name another file"});
  }
  fs::path target = path;
  for (int i = 0; i < kMostLinks && fs::is_symlink(fs::symlink_status(target, ignored)); ++i)
    target = target.parent_path() / fs::read_symlink(target, ignored);  // an absolute one takes all
  return target;
}

int64_t modification_time_ns(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

/// An open regular file and its size, or an Error that says what the path is instead.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path, Reading reading = Reading::Input) {
    // O_NONBLOCK: opening a pipe must not wait for a writer.
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0)
      throw Error({.what = "cannot open the file", .where = path.string(), .got = std::strerror(errno)});
    struct stat info = {};
    if (fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
      const bool folder = S_ISDIR(info.st_mode);
      close(fd_);
      throw Error({.what = folder ? "this is a folder, not a file" : "this is not a regular file",
                   .where = path.string()});
    }
    size_bytes_ = static_cast<uint64_t>(info.st_size);
    modified_ns_ = modification_time_ns(info);
    if (reading == Reading::Input) note_input(path);
  }
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd() const { return fd_; }
  uint64_t size_bytes() const { return size_bytes_; }
  int64_t modified_ns() const { return modified_ns_; }
  /// The descriptor is the caller's from now on.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
  int64_t modified_ns_ = 0;
};

std::string temporary_name(pid_t process, int number) { return fmt::format(".{}-{}.tmp", process, number); }

/// The process that made a temporary file of this name; 0 where it is no such name.
pid_t temporary_owner(const std::string& name) {
  pid_t process = 0;
  int number = 0;
  if (std::sscanf(name.c_str(), ".%d-%d.tmp", &process, &number) != 2) return 0;
  return process > 0 && name == temporary_name(process, number) ? process : 0;
}

}  // namespace

int remove_leftovers(const std::filesystem::path& folder) {
  int n = 0;
  std::error_code error;
  const std::filesystem::directory_iterator entries(folder, error);
  if (error)
    throw Error({.what = "cannot read the folder", .where = folder.string(), .got = error.message()});
  for (const auto& entry : entries) {
    const pid_t owner = temporary_owner(entry.path().filename().string());
    // Of this process's number: from before a restart, in a container the same number again.
    const bool gone = owner == getpid() || (owner > 0 && kill(owner, 0) != 0 && errno == ESRCH);
    std::error_code ignored;
    if (gone && entry.is_regular_file(ignored)) n += std::filesystem::remove(entry.path(), ignored) ? 1 : 0;
  }
  return n;
}

MappedFile::MappedFile(const std::filesystem::path& path, Reading reading) : path_(path) {
  OpenFile file(path, reading);
  size_bytes_ = file.size_bytes();
  modified_ns_ = file.modified_ns();
  if (size_bytes_ == 0) return;
  void* mapped = mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, file.fd(), 0);
  if (mapped == MAP_FAILED) {
    if (errno == ENOMEM) refuse_memory(size_bytes_, path.string(), "");
    throw SystemError({.what = "cannot map the file", .where = path.string(), .got = std::strerror(errno)});
  }
  data_ = static_cast<const std::byte*>(mapped);
  guard_ = MapGuard(data_, size_bytes_);
  fd_ = file.release();
}

MappedFile::~MappedFile() {
  guard_ = MapGuard();
  if (data_) munmap(const_cast<std::byte*>(data_), size_bytes_);
  if (fd_ >= 0) close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      fd_(std::exchange(other.fd_, -1)),
      modified_ns_(other.modified_ns_),
      guard_(std::move(other.guard_)) {}

void MappedFile::check_unchanged() const {
  if (fd_ < 0) return;
  struct stat info = {};
  const bool known = fstat(fd_, &info) == 0;
  if (known && !guard_.damaged() && static_cast<uint64_t>(info.st_size) == size_bytes_ &&
      modification_time_ns(info) == modified_ns_) {
    return;
  }
  throw SystemError({.what = "the file was changed while it was in use", .where = path_.string()});
}

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes, Reading reading) {
  const OpenFile file(path, reading);
  if (file.size_bytes() > max_bytes) {
    throw Error({.what = "the file is too large",
                 .where = path.string(),
                 .expected = "at most " + std::to_string(max_bytes) + " bytes",
                 .got = std::to_string(file.size_bytes())});
  }
  std::string text(file.size_bytes(), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = read(file.fd(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw SystemError(
          {.what = "cannot read the file", .where = path.string(), .got = std::strerror(errno)});
    if (n == 0) break;  // the file shrank meanwhile
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

AtomicFile::AtomicFile(const std::filesystem::path& path, FileKind kind)
    : path_(replaceable(path, kind)), folder_(path_.has_parent_path() ? path_.parent_path() : ".") {
  // Without a name while it is written: whatever ends the program, nothing remains. The name comes through
  // /proc.
  if (access("/proc/self/fd", F_OK) == 0)
    fd_ = open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, kNewFileMode);
  if (fd_ < 0) {
    fd_ = under_free_name(
        [](const char* name) { return open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, kNewFileMode); });
  }
  if (fd_ < 0 && !is_paths_fault(errno)) fail("cannot create the output file");
  if (fd_ < 0) {
    throw Error(
        {.what = "cannot create the output file", .where = path.string(), .got = std::strerror(errno)});
  }
  pending_.reserve(kPendingBytes);
}

/// Calls `make` with a name beside the final one, another each time until none has it, and returns what it
/// gave: temporary_ is the name then, or empty where that is -1.
template <class Make>
int AtomicFile::under_free_name(const Make& make) {
  for (int i = 0;; ++i) {
    temporary_ = folder_ / temporary_name(getpid(), i);
    const int result = make(temporary_.c_str());
    if (result >= 0) return result;
    if (errno == EEXIST) continue;
    temporary_.clear();
    return result;
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what) const {
  const int error = errno;
  const Error::Parts parts{.what = what, .where = path_.string(), .got = std::strerror(error)};
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) throw NoSpaceError(parts);
  throw SystemError(parts);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  size_bytes_ += bytes.size();
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), kPendingBytes - pending_.size());
    pending_.append(reinterpret_cast<const char*>(bytes.data()), n);
    bytes = bytes.subspan(n);
    if (pending_.size() == kPendingBytes) flush();
  }
}

void AtomicFile::flush() {
  const char* at = pending_.data();
  size_t left = pending_.size();
  while (left > 0) {
    const ssize_t n = ::write(fd_, at, left);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write the output file");
    at += n;
    left -= static_cast<size_t>(n);
  }
  pending_.clear();
}

void AtomicFile::seal() {
  if (fd_ < 0) return;
  flush();
  pending_ = std::string();
  if (fsync(fd_) != 0) fail("cannot write the output file to disk");
  if (temporary_.empty()) {  // a rename, which replaces, needs a name
    const std::string nameless = "/proc/self/fd/" + std::to_string(fd_);
    const auto give_name = [&](const char* name) {
      return linkat(AT_FDCWD, nameless.c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW);
    };
    if (under_free_name(give_name) < 0) fail("cannot name the output file");
  }
  if (close(std::exchange(fd_, -1)) != 0) fail("cannot close the output file");
}

void AtomicFile::commit() {
  seal();
  refuse_input_as_output(path_);  // it may have been opened only meanwhile
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot give the output file its name");
  temporary_.clear();
  const int folder_fd = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    fsync(folder_fd);
    close(folder_fd);
  }
}

}  // namespace sw
