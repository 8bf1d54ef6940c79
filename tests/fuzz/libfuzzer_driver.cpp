// SPDX-License-Identifier: MIT
// Runs a fuzz target under libFuzzer, which keeps the inputs that reach new code. Our own mutator changes
// the structure; one time in eight the library's changes the bytes.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ctime>

#include "fuzz/outcome.h"
#include "fuzz/target.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace sw::fuzz {
namespace {

constexpr double kMaxSeconds = 1.0;  // of the processor's: libFuzzer's own -timeout counts a busy machine's

double processor_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Counts, and tells at the end.
struct Report {
  ~Report() {
    std::fprintf(stderr, "%llu passed, 0 failed: %llu accepted, %llu refused; slowest %.0f ms\n",
                 n_accepted + n_refused, n_accepted, n_refused, slowest * 1e3);
  }
  unsigned long long n_accepted = 0, n_refused = 0;
  double slowest = 0;
};

}  // namespace
}  // namespace sw::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sw::fuzz;
  static Report report;
  const double began = processor_seconds();
  const int accepted = fuzz_one(std::as_bytes(std::span(data, size)));
  const double seconds = processor_seconds() - began;
  if (seconds > kMaxSeconds) give_up("an input took " + std::to_string(seconds) + " s");
  report.slowest = std::max(report.slowest, seconds);
  (accepted == 1 ? report.n_accepted : report.n_refused)++;
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  sw::Rng rng(seed);
  if (rng.below(8) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string now = sw::fuzz::mutate(std::string(reinterpret_cast<const char*>(data), size), rng);
  if (now.empty() || now.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, now.data(), now.size());
  return now.size();
}
