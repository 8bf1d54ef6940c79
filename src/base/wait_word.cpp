// SPDX-License-Identifier: MIT
#include "base/wait_word.h"

#if defined(__linux__)
#include <climits>
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
void WaitWord::wake_sleeping() {
  syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}
#else
void WaitWord::sleep_while(uint32_t value) { value_.wait(value); }
void WaitWord::wake_sleeping() { value_.notify_all(); }
#endif

}  // namespace sw
