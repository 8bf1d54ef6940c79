// SPDX-License-Identifier: MIT
#include "cli/stop_signals.h"

#include <csignal>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

namespace sw::cli {
namespace {

sigset_t stop_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

[[noreturn]] void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  const sigset_t set = stop_set();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(signal);
  _exit(128 + signal);
}

/// Nothing is under way that could be lost.
[[noreturn]] void end_in_peace() {
  log::info("stopped");
  _exit(0);
}

}  // namespace

void block_stop_signals() {
  const sigset_t set = stop_set();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

StopSignals::StopSignals(std::function<bool()> stop) {
  const sigset_t set = stop_set();
  signals_ = signalfd(-1, &set, SFD_CLOEXEC);
  quit_ = eventfd(0, EFD_CLOEXEC);
  if (signals_ < 0 || quit_ < 0) throw SystemError({.what = "no file descriptor is left"});
  thread_ = std::thread([this, stop = std::move(stop)] {
    for (bool stopped = false;;) {
      pollfd fds[] = {{signals_, POLLIN, 0}, {quit_, POLLIN, 0}};
      if (poll(fds, 2, -1) < 0) continue;
      if (fds[1].revents != 0) return;
      signalfd_siginfo info = {};
      if (read(signals_, &info, sizeof info) != sizeof info) continue;
      if (stopped) end_by(static_cast<int>(info.ssi_signo));
      stopped = stop();
      if (!stopped) end_in_peace();
      log::info("stopping: requests under way are finished; once more to stop at once");
    }
  });
}

StopSignals::~StopSignals() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(quit_, &one, sizeof one);
  thread_.join();
  close(quit_);
  close(signals_);
}

}  // namespace sw::cli
