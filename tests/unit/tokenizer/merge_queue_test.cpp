// SPDX-License-Identifier: MIT
#include "tokenizer/merge_queue.h"

#include <gtest/gtest.h>
#include <set>

#include "base/rng.h"

namespace sw {
namespace {

/// Pushes of a pass over a long run, at random, or both in turn, with pops between them.
TEST(MergeQueue, GivesTheLeastRankThenTheLeftmostPlace) {
  Rng rng(7);
  for (const uint64_t n_ranks : {1, 3, 40, 2000}) {
    for (const uint64_t in_order : {0, 50, 100}) {
      MergeQueue queue;
      std::multiset<std::pair<uint32_t, uint32_t>> expected;
      uint32_t place = 0;
      for (int i = 0; i < 20'000; ++i) {
        const bool more = i < 10'000 ? rng.below(100) < 80 : rng.below(100) < 20;
        if (more) {
          if (rng.below(100) < in_order)
            ++place;
          else
            place = static_cast<uint32_t>(rng.below(5000));
          const auto rank = static_cast<uint32_t>(rng.below(n_ranks));
          queue.push({rank, place});
          expected.insert({rank, place});
        } else if (!expected.empty()) {
          const MergeQueue::Entry entry = queue.pop();
          ASSERT_EQ(std::pair(entry.rank, entry.place), *expected.begin());
          expected.erase(expected.begin());
        }
        ASSERT_EQ(queue.empty(), expected.empty());
      }
    }
  }
}

}  // namespace
}  // namespace sw
