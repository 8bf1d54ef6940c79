// SPDX-License-Identifier: MIT
// Runs a fuzz target without libFuzzer: every file of the folders given, then mutations of them in an order
// that the seed fixes. Memory is that of the whole process, over the whole run.
//   fuzz_X [--mutations N] [--seed S] FOLDER_OR_FILE...
// An input that ends the process is left in the current folder as crash.bin.
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fuzz/driver.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"

namespace sw::fuzz {
namespace {

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

struct Options {
  uint64_t n_mutation = 0, seed = 1;
  std::vector<std::filesystem::path> paths = {};
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

uint64_t peak_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) << 10;
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
    const bool accepted = fuzz_one(std::as_bytes(std::span(input))) == 1;
    const double seconds = processor_seconds() - began;
    const auto grown_bytes = kSanitized ? std::nullopt : std::optional(peak_bytes() - start_bytes_);
    tally_.add(accepted, seconds, grown_bytes, input.size());
  }
  const Tally& tally() const { return tally_; }

 private:
  const uint64_t start_bytes_ = peak_bytes();
  Tally tally_{kMaxSeconds};
};

}  // namespace
}  // namespace sw::fuzz

#if defined(__SANITIZE_ADDRESS__)
extern "C" const char* __asan_default_options() { return "abort_on_error=1:handle_abort=0"; }
#endif

int main(int argc, char** argv) {
  using namespace sw::fuzz;
  const Options options = parse(argc, argv);
  const std::vector<std::string> corpus = read_seeds(options.paths);
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
  std::printf("%s\n", runner.tally().to_string().c_str());
  return 0;
}
