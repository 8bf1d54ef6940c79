// SPDX-License-Identifier: MIT
// Whatever routing is wished for, after loading every expert is in memory, and the warm-up pass has them all.
#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/engine/engine_support.h"

namespace sw {
namespace {

EngineOptions one_expert() {
  EngineOptions options{.n_ctx = 128};
  options.default_policy.experts_prefill = options.default_policy.experts_decode = {{.k = 1}};
  return options;
}

/// Which pages of a file the system has in memory.
class FilePages {
 public:
  explicit FilePages(const std::filesystem::path& path)
      : fd_(open(path.c_str(), O_RDWR)), size_(std::filesystem::file_size(path)) {
    data_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd_, 0);
  }
  FilePages(const FilePages&) = delete;
  FilePages& operator=(const FilePages&) = delete;
  ~FilePages() {
    munmap(data_, size_);
    close(fd_);
  }

  size_t size() const {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return (size_ + page - 1) / page;
  }
  size_t n_resident() const {
    std::vector<unsigned char> pages(size());
    EXPECT_EQ(mincore(data_, size_, pages.data()), 0);
    return static_cast<size_t>(std::ranges::count_if(pages, [](unsigned char p) { return (p & 1) != 0; }));
  }
  /// Out of memory, where the file system does that.
  void drop() {
    EXPECT_EQ(fsync(fd_), 0);
    EXPECT_EQ(posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED), 0);
  }

 private:
  int fd_;
  size_t size_;
  void* data_;
};

TEST(WarmUp, LeavesEveryPageInMemory) {
  const testing::TempDir temp;
  const std::filesystem::path file = temp.path() / "model.gguf";
  std::filesystem::copy_file(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf", file);
  FilePages pages(file);
  pages.drop();
  if (pages.n_resident() > pages.size() / 10)
    GTEST_SKIP() << "the system keeps files of " << temp.path() << " in memory (a tmpfs?)";
  {
    const Model unread(file, {.read_in = false});
    ASSERT_LT(pages.n_resident(), pages.size() / 2) << "read all by itself: nothing can be seen here";
  }
  // A system that is short of memory takes pages back whenever it likes: one load of some must leave all.
  constexpr int kLoads = 5;
  size_t most = 0;
  for (int i = 0; i < kLoads && most < pages.size(); ++i) {
    pages.drop();
    const Model model(file);
    const Engine engine(model, one_expert());
    most = std::max(most, pages.n_resident());
  }
  EXPECT_EQ(most, pages.size());
}

using WarmUpTest = EngineTest;

TEST_F(WarmUpTest, HasTheModelsOwnRouting) {
  const Devices devices = open_devices("fake:1");
  const auto expert_flops = [&](EngineOptions options) {
    const PlanInput input = plan_input(*model_, options);
    const PlacedModel placed(*model_, devices,
                             choose_placement(FileWeights(*model_).view(), facts_of(devices), {}, input),
                             input.forward.program(input.experts_max));
    options.forward.placed = &placed;
    Engine engine(*model_, options);
    const uint64_t of_warm_up = engine.forward().counters().expert_flops;
    engine.submit(greedy(text(10), 1));
    engine.step();
    return std::pair(of_warm_up, engine.forward().counters().expert_flops - of_warm_up);
  };
  const auto [own_warm_up, own_step] = expert_flops({.n_ctx = 128});
  const auto [warm_up, step] = expert_flops(one_expert());
  EXPECT_GT(own_warm_up, 0u);
  EXPECT_EQ(warm_up, own_warm_up);
  EXPECT_EQ(step * 4, own_step) << "one expert of four, when it is a request's turn";
}

}  // namespace
}  // namespace sw
