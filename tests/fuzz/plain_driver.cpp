// SPDX-License-Identifier: MIT
// Runs a fuzz target without libFuzzer: every file of the folders given, then mutations of them in an order
// that the seed fixes. Holds each input against the limits on time and memory.
//   fuzz_X [--mutations N] [--seed S] FOLDER_OR_FILE...
// An input that ends the process is left in the current folder as crash.bin.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include "base/file.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"

namespace sw::fuzz {
namespace {

namespace fs = std::filesystem;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // its shadow and its quarantine are no memory of ours
#else
constexpr bool kSanitized = false;
#endif
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
constexpr double kMaxSeconds = SW_FUZZ_MAX_MS * 1e-3;
#else
constexpr double kMaxSeconds = 1.0;  // not built for speed
#endif
constexpr long kMaxGrowthKib = 64 << 10;

struct Options {
  uint64_t n_mutation = 0, seed = 1;
  std::vector<fs::path> paths = {};
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool takes_number = argument == "--mutations" || argument == "--seed";
    if (takes_number && i + 1 < argc) {
      (argument == "--seed" ? options.seed : options.n_mutation) = std::strtoull(argv[++i], nullptr, 10);
    } else {
      options.paths.emplace_back(argument);
    }
  }
  return options;
}

/// All files, in the order of their paths.
std::vector<fs::path> files_of(const std::vector<fs::path>& paths) {
  std::vector<fs::path> files;
  for (const fs::path& path : paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

double processor_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

long peak_kib() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

const std::string* current_input = nullptr;

void keep_input(int signal) {
  const int fd = open("crash.bin", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd >= 0 && current_input) static_cast<void>(!write(fd, current_input->data(), current_input->size()));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

class Runner {
 public:
  void run(const std::string& input) {
    current_input = &input;
    const double began = processor_seconds();
    (fuzz_one(std::as_bytes(std::span(input))) == 1 ? n_accepted_ : n_refused_)++;
    const double seconds = processor_seconds() - began;
    slowest_ = std::max(slowest_, seconds);
    const long growth = peak_kib() - start_kib_ - static_cast<long>(input.size() >> 10);
    growth_kib_ = std::max(growth_kib_, growth);
    if (seconds > kMaxSeconds) give_up("an input took " + std::to_string(seconds) + " s");
    if (!kSanitized && growth > kMaxGrowthKib) give_up("an input took " + std::to_string(growth) + " KiB");
  }
  void report() const {
    std::printf(
        "%llu passed, 0 failed: %llu accepted, %llu refused; slowest %.0f ms; peak memory +%ld KiB%s\n",
        n_accepted_ + n_refused_, n_accepted_, n_refused_, slowest_ * 1e3, growth_kib_,
        kSanitized ? " (with the sanitizer's)" : "");
  }

 private:
  const long start_kib_ = peak_kib();
  unsigned long long n_accepted_ = 0, n_refused_ = 0;
  double slowest_ = 0;
  long growth_kib_ = 0;
};

}  // namespace
}  // namespace sw::fuzz

#if defined(__SANITIZE_ADDRESS__)
extern "C" const char* __asan_default_options() { return "abort_on_error=1:handle_abort=0"; }
#endif

int main(int argc, char** argv) {
  using namespace sw::fuzz;
  const Options options = parse(argc, argv);
  std::vector<std::string> corpus;
  for (const fs::path& file : files_of(options.paths)) corpus.push_back(sw::read_file(file));
  if (corpus.empty()) {
    std::fprintf(stderr, "usage: %s [--mutations N] [--seed S] FOLDER_OR_FILE...\n", argv[0]);
    return 2;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGILL}) std::signal(signal, keep_input);
  Runner runner;
  for (const std::string& input : corpus) runner.run(input);
  sw::Rng rng(options.seed);
  for (uint64_t i = 0; i < options.n_mutation; ++i) {
    runner.run(mutate(corpus[rng.below(corpus.size())], rng));
  }
  runner.report();
  return 0;
}
