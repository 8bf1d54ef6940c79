// SPDX-License-Identifier: MIT
#include "cli/interrupt.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <unistd.h>

#include "cli/command.h"

namespace sw::cli {
namespace {

std::atomic<int> n_pending{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler needs it");

std::atomic<bool> second_ends{true};

void on_signal(int) {
  const int saved = errno;
  if (n_pending.fetch_add(1) == 0) {
    constexpr char kStopping[] = "\n(stopping ...)\n";
    [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, kStopping, sizeof kStopping - 1);
  } else if (second_ends) {
    end_by_interrupt();
  }
  errno = saved;
}

}  // namespace

void catch_interrupt(SecondInterrupt second) {
  second_ends = second == SecondInterrupt::EndsProgram;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

void end_by_interrupt() {
  std::signal(SIGINT, SIG_DFL);
  sigset_t interrupt;  // a handler runs with its signal blocked
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_UNBLOCK, &interrupt, nullptr);
  std::raise(SIGINT);
  _exit(kExitInterrupted);
}

bool interrupt_pending() { return n_pending > 0; }

bool interrupted() { return n_pending.exchange(0) > 0; }

}  // namespace sw::cli
