// SPDX-License-Identifier: MIT
// Cuts models at every byte of the header and at 2,000 places of the data, through the loader, and a sample
// of them through the program. Every one must be refused, in one line.
//   truncate [--sample N] MODEL...
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <vector>

#include "base/file.h"
#include "fuzz/memory_file.h"
#include "fuzz/outcome.h"
#include "model/model.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr int kDataCuts = 2000;

/// Sizes from large to small: the whole header's, byte by byte, and some in the data.
std::vector<size_t> sizes_of(const GgufFile& file, Rng& rng) {
  std::vector<size_t> sizes;
  for (int i = 0; i < kDataCuts; ++i)
    sizes.push_back(file.data_offset() + rng.below(file.size_bytes() - file.data_offset()));
  for (size_t size = 0; size < file.data_offset(); ++size) sizes.push_back(size);
  std::sort(sizes.begin(), sizes.end(), std::greater());
  return sizes;
}

void cut_in_process(const std::string& bytes, const std::vector<size_t>& sizes) {
  const MemoryFile memory;
  memory.write(std::as_bytes(std::span(bytes)));
  for (const size_t size : sizes) {
    memory.cut(size);
    if (outcome(memory.path().string(), [&] { Model(memory.path(), {.read_in = false}); }) == 1)
      give_up("a model cut to " + std::to_string(size) + " bytes was loaded");
  }
}

void cut_for_program(const fs::path& model, const std::vector<size_t>& sizes, uint64_t n_sample, Rng& rng) {
  const testing::TempDir temp;
  for (uint64_t i = 0; i < n_sample; ++i) {
    const fs::path copy = temp.path() / "cut.gguf";
    const size_t size = sizes[rng.below(sizes.size())];
    fs::copy_file(model, copy, fs::copy_options::overwrite_existing);
    fs::permissions(copy, fs::perms::owner_write, fs::perm_options::add);
    fs::resize_file(copy, size);
    const testing::ProcessResult result =
        testing::run_switchyard({"run", "-m", copy.string(), "-p", "x", "-n", "1"});
    const bool one_line = std::count(result.err.begin(), result.err.end(), '\n') == 1;
    if (result.exit_code != 1 || !one_line)
      give_up("the program, cut to " + std::to_string(size) + " bytes: exit " +
              std::to_string(result.exit_code) + ", " + result.err);
  }
}

void cut(const fs::path& model, uint64_t n_sample) {
  Rng rng(20261122);
  const GgufFile file(model);
  const std::vector<size_t> sizes = sizes_of(file, rng);
  cut_in_process(read_file(model), sizes);
  cut_for_program(model, sizes, n_sample, rng);
  std::printf("%s: %zu passed, 0 failed\n", model.filename().c_str(), sizes.size() + n_sample);
}

}  // namespace
}  // namespace sw::fuzz

int main(int argc, char** argv) {
  uint64_t n_sample = 10;
  std::vector<std::filesystem::path> models;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--sample" && i + 1 < argc) {
      n_sample = std::strtoull(argv[++i], nullptr, 10);
    } else {
      models.emplace_back(argv[i]);
    }
  }
  for (const auto& model : models) sw::fuzz::cut(model, n_sample);
  return models.empty() ? 2 : 0;
}
