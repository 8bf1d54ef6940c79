// SPDX-License-Identifier: MIT
#include "support/terminal.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <pty.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace sw::testing {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Terminal::Terminal(const std::vector<std::string>& arguments) {
  winsize size{.ws_row = 40, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
  child_ = forkpty(&fd_, nullptr, nullptr, &size);
  if (child_ < 0) throw std::runtime_error("forkpty failed");
  if (child_ == 0) {
    setenv("TERM", "xterm", 1);
    std::vector<char*> argv{const_cast<char*>(SW_PROGRAM)};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    execv(SW_PROGRAM, argv.data());
    _exit(127);
  }
}

Terminal::~Terminal() {
  if (child_ > 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  close(fd_);
}

void Terminal::type(const std::string& keys) {
  for (size_t done = 0; done < keys.size();) {
    const ssize_t n = write(fd_, keys.data() + done, keys.size() - done);
    if (n < 0) throw std::runtime_error("the terminal takes no more");
    done += static_cast<size_t>(n);
    read_some(0);  // or echo would fill the terminal and both sides wait
  }
}

bool Terminal::read_some(int timeout_ms) {
  pollfd in{fd_, POLLIN, 0};
  if (poll(&in, 1, timeout_ms) <= 0) return true;
  char buffer[4096];
  const ssize_t n = read(fd_, buffer, sizeof buffer);
  if (n <= 0) return false;
  transcript_.append(buffer, static_cast<size_t>(n));
  return true;
}

std::string Terminal::wait_for(const std::string& text, double seconds) {
  for (const Clock::time_point start = Clock::now();;) {
    const size_t at = transcript_.find(text, seen_);
    if (at != std::string::npos) {
      std::string part = transcript_.substr(seen_, at + text.size() - seen_);
      seen_ = at + text.size();
      return part;
    }
    if (since(start) > seconds || !read_some(20)) return {};
  }
}

std::string Terminal::listen(double seconds) {
  for (const Clock::time_point start = Clock::now(); since(start) < seconds && read_some(20);) {
  }
  std::string part = transcript_.substr(seen_);
  seen_ = transcript_.size();
  return part;
}

int Terminal::exit_code(double seconds) {
  for (const Clock::time_point start = Clock::now(); since(start) < seconds;) {
    read_some(20);
    int status = 0;
    if (waitpid(child_, &status, WNOHANG) != child_) continue;
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return -999;
}

}  // namespace sw::testing
