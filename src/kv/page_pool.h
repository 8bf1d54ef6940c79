// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace sw {

/// Names what stands in a page: a chain over all that its keys and values depend on. 128 bits; whoever begins
/// a chain with a secret number makes it hopeless to look for two texts of one name.
struct PageKey {
  uint64_t a = 0, b = 0;

  void add(uint64_t word) {
    constexpr uint64_t kOdd = 0x9fb21c651e98df25ull;
    a = Rng(a ^ word).next();
    b = Rng(std::rotl(b, 29) ^ (word * kOdd)).next();
  }
  friend bool operator==(const PageKey&, const PageKey&) = default;
};

/// The pages of one cache group: how many use each, what stands in it, which one is taken next. A page that
/// nobody uses keeps what stands in it until it is taken. Nothing is allocated after the start.
class PagePool {
 public:
  explicit PagePool(int64_t n_page);

  /// Pages that nobody uses.
  int64_t n_idle() const { return n_idle_; }
  /// A page for one user, who may write: one without a name, or the one that was used least lately, which
  /// loses its name. There must be an idle one.
  int32_t take();
  /// One more user of a page, for reading.
  void share(int32_t page);
  /// One user less.
  void release(int32_t page);
  /// Names a whole page that is not written any more, unless some page has this name already.
  void publish(int32_t page, const PageKey& key);
  /// Takes the page's name away, if it has one.
  void forget(int32_t page);
  /// The page of that name, or -1.
  int32_t find(const PageKey& key) const;
  int32_t n_user(int32_t page) const { return pages_[static_cast<size_t>(page)].n_user; }

 private:
  static constexpr int32_t kNone = -1;
  struct Page {
    PageKey key = {};
    bool named = false;
    int32_t n_user = 0;
    int32_t before = kNone, after = kNone;  // idle pages: a ring
    int32_t same_bucket = kNone;            // the next named page of the bucket
  };

  Page& at(int32_t page) { return pages_[static_cast<size_t>(page)]; }
  /// Where the ring of idle pages begins (the next one taken) and ends.
  int32_t ring() const { return static_cast<int32_t>(pages_.size()) - 1; }
  size_t bucket(const PageKey& key) const { return key.a & (buckets_.size() - 1); }
  void link(int32_t page, int32_t before, int32_t after);
  void unlink(int32_t page);

  std::vector<Page> pages_;  // and one more, which closes the ring
  std::vector<int32_t> buckets_;
  int64_t n_idle_ = 0;
};

}  // namespace sw
