// SPDX-License-Identifier: MIT
#include "base/wait_word.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sw {

void WaitWord::relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

#if defined(__linux__)
// The library's wait() would do, but yields before it sleeps.
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

void WaitWord::sleep_while(uint32_t value) {
  syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
void WaitWord::wake_sleeping(int n_wake) {
  syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, n_wake, nullptr, nullptr, 0);
}
#else
void WaitWord::sleep_while(uint32_t value) { value_.wait(value); }
void WaitWord::wake_sleeping(int) { value_.notify_all(); }
#endif

}  // namespace sw
