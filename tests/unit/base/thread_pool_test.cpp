// SPDX-License-Identifier: MIT
#include "base/thread_pool.h"

#include <chrono>
#include <gtest/gtest.h>

namespace sw {
namespace {

TEST(SplitRange, PartsCoverAllOnceInOrder) {
  for (const int64_t n : {0, 1, 2, 7, 8, 63, 64, 65, 1000}) {
    for (int count = 1; count <= 9; ++count) {
      int64_t at = 0, least = n, most = 0;
      for (int i = 0; i < count; ++i) {
        const Range part = split_range(n, i, count);
        ASSERT_EQ(part.begin, at);
        ASSERT_LE(part.begin, part.end);
        at = part.end;
        least = std::min(least, part.size());
        most = std::max(most, part.size());
      }
      ASSERT_EQ(at, n);
      ASSERT_LE(most - least, 1) << n << " in " << count;
    }
  }
}

TEST(SplitRange, LargeCounts) {
  EXPECT_EQ(split_range(int64_t{1} << 40, 3, 4).end, int64_t{1} << 40);
  EXPECT_EQ(split_range(int64_t{1} << 40, 1, 4).begin, int64_t{1} << 38);
}

class ThreadPoolSizes : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(OneToEight, ThreadPoolSizes, ::testing::Range(1, 9));

TEST_P(ThreadPoolSizes, EveryItemRunsOnceALoop) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.size(), GetParam());
  for (const int64_t n : {0, 1, 2, 3, 7, 64, 1000}) {
    std::vector<int> items(static_cast<size_t>(n));
    for (int round = 1; round <= 50; ++round) {
      pool.for_each(n, [&](int64_t i, int worker) {
        ASSERT_LE(0, worker);
        ASSERT_LT(worker, GetParam());
        ++items[static_cast<size_t>(i)];
      });
      ASSERT_EQ(items, std::vector<int>(items.size(), round));
    }
  }
}

TEST_P(ThreadPoolSizes, RangesMakeUpTheWhole) {
  ThreadPool pool(GetParam());
  for (const int64_t n : {0, 1, 5, 64, 1000}) {
    for (const int64_t least : {0, 1, 8, 2000}) {
      std::vector<int> items(static_cast<size_t>(n));
      std::vector<int64_t> last(static_cast<size_t>(pool.size()), -1);
      std::atomic<int> n_range{0}, n_descending{0};
      pool.for_ranges(n, least, [&](Range range, int worker) {
        ++n_range;
        int64_t& before = last[static_cast<size_t>(worker)];
        n_descending += range.begin <= before;
        before = range.begin;
        for (int64_t i = range.begin; i < range.end; ++i) ++items[static_cast<size_t>(i)];
      });
      ASSERT_EQ(items, std::vector<int>(items.size(), 1));
      ASSERT_EQ(n_descending, 0);
      const int64_t worth = std::max<int64_t>(n / std::max<int64_t>(least, 1), n > 0);
      ASSERT_EQ(n_range, std::min<int64_t>(worth, pool.size() == 1 ? 1 : 4 * pool.size()));
    }
  }
}

/// Each item reads its neighbour's value of the loop before.
TEST_P(ThreadPoolSizes, ALoopSeesWhatTheOneBeforeWrote) {
  ThreadPool pool(GetParam());
  constexpr int64_t kItems = 32;
  std::vector<int> values[2] = {std::vector<int>(kItems), std::vector<int>(kItems)};
  for (size_t round = 1; round <= 1000; ++round) {
    const std::vector<int>& from = values[(round + 1) % 2];
    std::vector<int>& to = values[round % 2];
    pool.for_each(kItems, [&](int64_t i, int) {
      to[static_cast<size_t>(i)] = from[static_cast<size_t>((i + 1) % kItems)] + 1;
    });
    ASSERT_EQ(to, std::vector<int>(kItems, static_cast<int>(round)));
  }
}

/// Two items with the same number never run at once.
TEST_P(ThreadPoolSizes, AWorkersNumberIsItsOwn) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> inside(static_cast<size_t>(pool.size()));
  std::atomic<int> n_shared{0};
  for (int round = 0; round < 20; ++round) {
    pool.for_each(100, [&](int64_t, int worker) {
      n_shared += ++inside[static_cast<size_t>(worker)] != 1;
      --inside[static_cast<size_t>(worker)];
    });
  }
  EXPECT_EQ(n_shared, 0);
}

TEST_P(ThreadPoolSizes, WakesAfterSleep) {
  ThreadPool pool(GetParam());
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    // Nobody leaves an item before all threads have one.
    std::atomic<int> n_inside{0};
    pool.for_each(pool.size(), [&](int64_t, int) {
      ++n_inside;
      while (n_inside < pool.size()) std::this_thread::yield();
    });
    EXPECT_EQ(n_inside, pool.size());
  }
}

/// A thread that is held up keeps nothing but its own item from being done.
TEST(ThreadPool, OthersTakeTheItemsOfAThreadThatIsHeldUp) {
  ThreadPool pool(2);
  constexpr int kOthers = 100;
  std::atomic<int> n_done{0};
  std::atomic<bool> held{false};
  pool.for_each(kOthers + 1, [&](int64_t, int) {
    if (!held.exchange(true)) {
      while (n_done < kOthers) std::this_thread::yield();
    } else {
      ++n_done;
    }
  });
  EXPECT_EQ(n_done, kOthers);
}

TEST(ThreadPool, IsMadeAndDestroyedQuickly) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(1 + i % 4);
    if (i % 2 == 0) pool.for_each(4, [](int64_t, int) {});
  }
}

TEST(ThreadPool, TakesConstantFunctionObjects) {
  ThreadPool pool(2);
  std::atomic<int> n_item{0};
  const auto body = [&](int64_t, int) { ++n_item; };
  pool.for_each(2, body);
  EXPECT_EQ(n_item, 2);
}

}  // namespace
}  // namespace sw
