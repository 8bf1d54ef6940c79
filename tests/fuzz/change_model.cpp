// SPDX-License-Identifier: MIT
// Cuts and overwrites a model's file at random times while the program decodes from it. Every time the
// program must end with exit 3 and one line: no signal, and no text from what is no longer the model.
//   change_model [--trials N] MODEL
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/rng.h"
#include "fuzz/outcome.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxDelayMs = 300;
constexpr const char* kWays[] = {"cut", "emptied", "overwritten", "lengthened"};

void change(const fs::path& file, uint64_t way, Rng& rng) {
  const uint64_t size = fs::file_size(file), at = rng.below(size);
  if (way < 2) return fs::resize_file(file, way == 0 ? at : 0);
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(static_cast<std::streamoff>(way == 2 ? at : size));
  stream << std::string(4096, static_cast<char>(rng.below(256)));
}

/// Whether the program ended as it must.
bool try_once(const fs::path& model, uint64_t way, Rng& rng) {
  const testing::TempDir temp;
  const fs::path copy = temp.path() / "copy.gguf";
  fs::copy_file(model, copy);
  fs::permissions(copy, fs::perms::owner_write, fs::perm_options::add);
  testing::ProcessOptions options;
  options.at_first_output = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(kMaxDelayMs)));
    change(copy, way, rng);
  };
  const testing::ProcessResult result = testing::run_switchyard(
      {"run", "-m", copy.string(), "-p", "Once upon a time", "--ignore-eos", "-c", "20000"}, options);
  const size_t line =
      std::min(result.err.find("error: "), result.err.size());  // behind a warning: a long context
  const bool one_line =
      std::count(result.err.begin() + static_cast<std::ptrdiff_t>(line), result.err.end(), '\n') == 1;
  const bool says = result.err.find("the file was changed while it was in use: " + copy.string(), line) !=
                    std::string::npos;
  if (result.exit_code == 3 && one_line && says) return true;
  std::fprintf(stderr, "%s: exit %d: %s\n", kWays[way], result.exit_code, result.err.c_str());
  return false;
}

}  // namespace
}  // namespace sw::fuzz

int main(int argc, char** argv) {
  const bool has_count = argc == 4 && std::string(argv[1]) == "--trials";
  if (argc != 2 && !has_count) {
    std::fprintf(stderr, "usage: change_model [--trials N] MODEL\n");
    return 2;
  }
  const uint64_t n_trial = has_count ? std::strtoull(argv[2], nullptr, 10) : 8;
  sw::Rng rng(20261122);
  uint64_t n_failed = 0;
  for (uint64_t i = 0; i < n_trial; ++i) {
    if (!sw::fuzz::try_once(argv[argc - 1], i % std::size(sw::fuzz::kWays), rng)) ++n_failed;
  }
  std::printf("changed while it runs: %llu passed, %llu failed\n",
              static_cast<unsigned long long>(n_trial - n_failed), static_cast<unsigned long long>(n_failed));
  return n_failed == 0 ? 0 : 1;
}
