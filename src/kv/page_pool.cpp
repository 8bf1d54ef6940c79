// SPDX-License-Identifier: MIT
#include "kv/page_pool.h"

#include <utility>

#include "base/error.h"

namespace sw {

PagePool::PagePool(int64_t n_page)
    : pages_(static_cast<size_t>(n_page) + 1), buckets_(std::bit_ceil(pages_.size()), kNone) {
  at(ring()).before = at(ring()).after = ring();
  for (int32_t p = 0; p < n_page; ++p) link(p, at(ring()).before, ring());
}

void PagePool::link(int32_t page, int32_t before, int32_t after) {
  at(page).before = before;
  at(page).after = after;
  at(before).after = at(after).before = page;
  ++n_idle_;
}

void PagePool::unlink(int32_t page) {
  at(at(page).before).after = at(page).after;
  at(at(page).after).before = at(page).before;
  --n_idle_;
}

int32_t PagePool::take() {
  SW_ASSERT(n_idle_ > 0);
  const int32_t page = at(ring()).after;
  forget(page);
  share(page);
  return page;
}

void PagePool::share(int32_t page) {
  if (at(page).n_user++ == 0) unlink(page);
}

void PagePool::release(int32_t page) {
  SW_ASSERT(at(page).n_user > 0);
  if (--at(page).n_user > 0) return;
  if (at(page).named) {
    link(page, at(ring()).before, ring());
  } else {
    link(page, ring(), at(ring()).after);
  }
}

void PagePool::publish(int32_t page, const PageKey& key) {
  SW_ASSERT(at(page).n_user > 0 && !at(page).named);
  if (find(key) != kNone) return;
  at(page).key = key;
  at(page).named = true;
  at(page).same_bucket = std::exchange(buckets_[bucket(key)], page);
}

void PagePool::forget(int32_t page) {
  if (!at(page).named) return;
  at(page).named = false;
  int32_t* link = &buckets_[bucket(at(page).key)];
  while (*link != page) link = &at(*link).same_bucket;
  *link = at(page).same_bucket;
}

int32_t PagePool::find(const PageKey& key) const {
  int32_t page = buckets_[bucket(key)];
  while (page != kNone && pages_[static_cast<size_t>(page)].key != key)
    page = pages_[static_cast<size_t>(page)].same_bucket;
  return page;
}

}  // namespace sw
