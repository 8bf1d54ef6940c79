// SPDX-License-Identifier: MIT
// Runs a fuzz target under libFuzzer, which keeps the inputs that reach new code. Our own mutator changes
// the structure; one time in eight the library's changes the bytes.
#include <atomic>
#include <cstring>
#include <sanitizer/allocator_interface.h>

#include "fuzz/driver.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace sw::fuzz {
namespace {

/// The most memory that an input held at a time. Looks whenever so much more has been asked for.
class MemoryMeter {
 public:
  static void install() { __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free); }
  static void start() { peak_bytes_ = start_bytes_ = __sanitizer_get_current_allocated_bytes(); }
  static uint64_t grown_bytes() { return peak_bytes_ - start_bytes_; }

 private:
  static constexpr size_t kLookBytes = 128 << 10;

  static void on_malloc(const volatile void*, size_t n_bytes) {
    if ((asked_bytes_ += n_bytes) < kLookBytes) return;
    asked_bytes_ = 0;
    const size_t now = __sanitizer_get_current_allocated_bytes();
    if (now > peak_bytes_) peak_bytes_ = now;
  }
  static void on_free(const volatile void*) {}

  static std::atomic<size_t> asked_bytes_, start_bytes_, peak_bytes_;
};
std::atomic<size_t> MemoryMeter::asked_bytes_, MemoryMeter::start_bytes_, MemoryMeter::peak_bytes_;

/// Tells at the end.
struct Report : Tally {
  ~Report() { std::fprintf(stderr, "%s\n", to_string().c_str()); }
};

std::vector<std::string> seeds;

}  // namespace
}  // namespace sw::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  std::vector<std::filesystem::path> folders;
  for (int i = 1; i < *argc; ++i) {
    if ((*argv)[i][0] != '-') folders.emplace_back((*argv)[i]);
  }
  sw::fuzz::seeds = sw::fuzz::read_seeds(folders);
  sw::fuzz::MemoryMeter::install();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sw::fuzz;
  static Report report;
  MemoryMeter::start();
  const double began = processor_seconds();
  const bool accepted = fuzz_one(std::as_bytes(std::span(data, size))) == 1;
  report.add(accepted, processor_seconds() - began, MemoryMeter::grown_bytes(), size);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  sw::Rng rng(seed);
  // Most inputs that reach new code are broken, and so is what comes of them. Every other time begins again
  // from a seed, so that what lies behind the first check is met too.
  const auto& seeds = sw::fuzz::seeds;
  if (!seeds.empty() && rng.below(2) == 0) {
    const std::string& whole = seeds[rng.below(seeds.size())];
    if (whole.size() <= max_size) {
      size = whole.size();
      std::memcpy(data, whole.data(), size);
    }
  }
  if (rng.below(8) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string now = sw::fuzz::mutate(std::string(reinterpret_cast<const char*>(data), size), rng);
  if (now.empty() || now.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, now.data(), now.size());
  return now.size();
}
