// SPDX-License-Identifier: MIT
#include "cli/standard_streams.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"

namespace sw::cli {

void open_closed_streams() {
  // A new file gets the lowest free number, so in this order each becomes the stream that is missing.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", O_RDWR);
  }
}

void check_output() {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && !std::ferror(stdout)) return;
  // The reason of a write that failed earlier is not kept.
  throw SystemError({.what = kOutputFailed, .got = flushed ? "" : std::strerror(errno)});
}

}  // namespace sw::cli
