// SPDX-License-Identifier: MIT
#include "cli/interrupt.h"

#include <atomic>
#include <csignal>
#include <unistd.h>

#include "cli/command.h"

namespace sw::cli {
namespace {

std::atomic<int> n_pending{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler needs it");

void on_signal(int) {
  if (n_pending.fetch_add(1) > 0) _exit(kExitInterrupted);
}

}  // namespace

void catch_interrupt() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return n_pending.exchange(0) > 0; }

}  // namespace sw::cli
