// SPDX-License-Identifier: MIT
#include "base/thread_pool.h"

#include <chrono>
#include <gtest/gtest.h>

namespace sw {
namespace {

TEST(SplitRange, PartsCoverAllOnceInOrder) {
  for (const int64_t n : {0, 1, 2, 7, 8, 63, 64, 65, 1000}) {
    for (int count = 1; count <= 9; ++count) {
      for (const int64_t grain : {1, 2, 8, 100}) {
        int64_t at = 0, least = n, most = 0;
        for (int i = 0; i < count; ++i) {
          const Range part = split_range(n, i, count, grain);
          ASSERT_EQ(part.begin, at);
          ASSERT_LE(part.begin, part.end);
          ASSERT_TRUE(part.begin % grain == 0 || part.begin == n);
          at = part.end;
          least = std::min(least, part.size());
          most = std::max(most, part.size());
        }
        ASSERT_EQ(at, n);
        ASSERT_LE(most - least, 2 * grain) << n << " in " << count;
      }
    }
  }
}

TEST(SplitRange, LargeCounts) {
  EXPECT_EQ(split_range(int64_t{1} << 40, 3, 4).end, int64_t{1} << 40);
  EXPECT_EQ(split_range(int64_t{1} << 40, 1, 4).begin, int64_t{1} << 38);
}

class ThreadPoolSizes : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(OneToEight, ThreadPoolSizes, ::testing::Range(1, 9));

TEST_P(ThreadPoolSizes, EveryThreadRunsOnceARegion) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.size(), GetParam());
  std::vector<int> runs(static_cast<size_t>(pool.size()));
  constexpr int kRegions = 200;
  for (int i = 0; i < kRegions; ++i) {
    pool.run([&](ThreadPool::Team& team) {
      ASSERT_EQ(team.size(), GetParam());
      ++runs[static_cast<size_t>(team.index())];
    });
  }
  EXPECT_EQ(runs, std::vector<int>(runs.size(), kRegions));
}

TEST_P(ThreadPoolSizes, AllAreDoneWhenRunReturns) {
  ThreadPool pool(GetParam());
  constexpr int64_t kItems = 1000;
  std::vector<int> items(kItems);
  for (int round = 1; round <= 50; ++round) {
    pool.run([&](ThreadPool::Team& team) {
      const Range mine = team.share(kItems, 16);
      for (int64_t i = mine.begin; i < mine.end; ++i) ++items[static_cast<size_t>(i)];
    });
    ASSERT_EQ(items, std::vector<int>(kItems, round));
  }
}

/// Each thread reads its neighbour's value of the round before, many barriers in one region.
TEST_P(ThreadPoolSizes, BarriersSeparateRounds) {
  ThreadPool pool(GetParam());
  const auto n = static_cast<size_t>(pool.size());
  std::vector<int> values(n);
  std::atomic<int> n_wrong{0};
  pool.run([&](ThreadPool::Team& team) {
    const auto mine = static_cast<size_t>(team.index());
    for (int round = 0; round < 100; ++round) {
      values[mine] = round;
      team.barrier();
      n_wrong += values[(mine + 1) % n] != round;
      team.barrier();
    }
  });
  EXPECT_EQ(n_wrong, 0);
}

TEST_P(ThreadPoolSizes, WakesAfterSleep) {
  ThreadPool pool(GetParam());
  std::atomic<int> n_runs{0};
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pool.run([&](ThreadPool::Team&) { ++n_runs; });
  }
  EXPECT_EQ(n_runs, 3 * GetParam());
}

TEST(ThreadPool, IsMadeAndDestroyedQuickly) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(1 + i % 4);
    if (i % 2 == 0) pool.run([](ThreadPool::Team& team) { team.barrier(); });
  }
}

TEST(ThreadPool, TakesConstantFunctionObjects) {
  ThreadPool pool(2);
  std::atomic<int> n_runs{0};
  const auto body = [&](ThreadPool::Team&) { ++n_runs; };
  pool.run(body);
  EXPECT_EQ(n_runs, 2);
}

}  // namespace
}  // namespace sw
