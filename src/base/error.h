// SPDX-License-Identifier: MIT
#pragma once
#include <exception>
#include <string>

namespace sw {

/// What a user did wrong, or what is wrong with the user's file. Shown as one line, exit code 1.
/// Every field but `what` may be empty. Text that comes from a file is made printable when shown.
class Error : public std::exception {
 public:
  struct Parts {
    std::string what = {};      ///< "tensor data ends past the end of the file"
    std::string where = {};     ///< "model.gguf, offset 4711, tensor blk.0.attn_q.weight"
    std::string expected = {};  ///< "at most 4096 bytes"
    std::string got = {};       ///< "8192 bytes"
    std::string hint = {};      ///< "is the download complete?"
  };

  explicit Error(Parts parts);
  /// The one line: "what: where: expected E, got G (hint)"; control characters escaped, length capped.
  const char* what() const noexcept override { return line_.c_str(); }
  const Parts& parts() const { return parts_; }

 private:
  Parts parts_;
  std::string line_;
};

/// What the machine or a device did: disk full, out of memory, a failed call. Exit code 3.
class SystemError : public Error {
 public:
  using Error::Error;
};

/// What f() returns. An Error of code that knows no file gets the file's name put in front of its place.
template <class F>
auto naming_file(const std::string& file, F&& f) {
  try {
    return f();
  } catch (const SystemError&) {
    throw;
  } catch (const Error& e) {
    Error::Parts parts = e.parts();
    if (parts.where.starts_with(file)) throw;
    parts.where = file + (parts.where.empty() ? "" : ", ") + parts.where;
    throw Error(parts);
  }
}

/// Makes text from a file safe to print on one line: control characters and what is no UTF-8 as \xNN; what
/// goes beyond `max_bytes` becomes "...".
std::string printable(const std::string& text, size_t max_bytes = 200);

[[noreturn]] void assert_failed(const char* condition, const char* file, int line);

}  // namespace sw

/// For our own mistakes only, never for input. Active in every build.
#define SW_ASSERT(condition) \
  (static_cast<bool>(condition) ? void(0) : ::sw::assert_failed(#condition, __FILE__, __LINE__))
