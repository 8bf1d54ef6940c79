// SPDX-License-Identifier: MIT
#include "kernels/cpu/read_limit.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <unistd.h>

#include "base/memory.h"
#include "tensor/buffer.h"

namespace sw::cpu {
namespace {

constexpr uint64_t kLeastBytes = uint64_t{256} << 20, kLeastThreadBytes = uint64_t{64} << 20;
constexpr int kRounds = 3;
constexpr int64_t kLineWords = 8;  // of 8 bytes

/// Four times what the last cache holds, and more than each core's part of it where cores have parts. At
/// most a quarter of what is free; 0 where the cache could hold half of that.
uint64_t buffer_bytes(int n_thread) {
  const long told = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const uint64_t cache = told > 0 ? static_cast<uint64_t>(told) : 0;
  const uint64_t wanted =
      std::max({kLeastBytes, 4 * cache, kLeastThreadBytes * static_cast<uint64_t>(n_thread)});
  const uint64_t bytes = std::min(wanted, available_memory_bytes() / 4);
  return bytes < kLeastThreadBytes || bytes < 2 * cache ? 0 : bytes;
}

/// Sums that do not wait for each other.
uint64_t read(const uint64_t* words, int64_t n) {
  uint64_t sums[kLineWords] = {};
  for (int64_t i = 0; i < n; i += kLineWords) {
    for (int64_t j = 0; j < kLineWords; ++j) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

}  // namespace

double read_limit(ThreadPool& pool) {
  using Clock = std::chrono::steady_clock;
  const auto n_line = static_cast<int64_t>(buffer_bytes(pool.size()) / sizeof(uint64_t)) / kLineWords;
  if (n_line == 0) return 0;
  const int64_t n_bytes = n_line * kLineWords * static_cast<int64_t>(sizeof(uint64_t));
  const Buffer buffer(static_cast<size_t>(n_bytes));
  auto* words = reinterpret_cast<uint64_t*>(buffer.data());
  // Pages that nobody wrote are one page. Threads read whichever come, as they do in products.
  pool.for_ranges(n_line, 1, [&](Range mine, int) {
    std::memset(words + mine.begin * kLineWords, 1,
                static_cast<size_t>(mine.size() * kLineWords) * sizeof(uint64_t));
  });
  std::atomic<uint64_t> sum{0};  // somebody wants what is read
  double best_s = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Clock::time_point start = Clock::now();
    pool.for_ranges(n_line, 1, [&](Range mine, int) {
      sum += read(words + mine.begin * kLineWords, mine.size() * kLineWords);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (round == 0 || seconds < best_s) best_s = seconds;
  }
  return best_s > 0 ? static_cast<double>(n_bytes) / best_s : 0;
}

}  // namespace sw::cpu
