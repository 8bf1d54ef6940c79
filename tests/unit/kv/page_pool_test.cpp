// SPDX-License-Identifier: MIT
#include "kv/page_pool.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "unit/kv/page_names.h"

namespace sw {
namespace {

TEST(PagePool, RandomUseKeepsItsPromises) {
  constexpr int kPages = 9, kTexts = 30;
  PagePool pool(kPages);
  Rng rng(7);
  std::vector<int32_t> held;             // a page once for each user
  std::map<int32_t, uint64_t> standing;  // what was published, until the page is taken again
  const auto key_of = [](uint64_t text) { return names(1, text)[0]; };
  for (int i = 0; i < 20000; ++i) {
    if (const int32_t found = pool.find(key_of(rng.below(kTexts))); found >= 0 && rng.below(3) == 0) {
      pool.share(found);
      held.push_back(found);
    } else if (pool.n_idle() > 0 && rng.below(2) == 0) {
      const int32_t page = pool.take();
      EXPECT_EQ(std::count(held.begin(), held.end(), page), 0) << "a page with users is not taken";
      standing.erase(page);
      held.push_back(page);
      const uint64_t text = rng.below(kTexts);
      if (pool.find(key_of(text)) < 0) standing[page] = text;
      if (rng.below(4) != 0) {
        pool.publish(page, key_of(text));
      } else {
        standing.erase(page);
      }
    } else if (!held.empty()) {
      std::swap(held[rng.below(held.size())], held.back());
      pool.release(held.back());
      held.pop_back();
    }
    const std::set<int32_t> used(held.begin(), held.end());
    ASSERT_EQ(pool.n_idle(), kPages - std::ssize(used));
    for (const auto& [page, text] : standing) ASSERT_EQ(pool.find(key_of(text)), page) << i;
  }
}

}  // namespace
}  // namespace sw
