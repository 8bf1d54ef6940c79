// SPDX-License-Identifier: MIT
#pragma once
#include <vector>

#include "kv/page_pool.h"

namespace sw {

/// Names of the first `n` pages of a text.
inline std::vector<PageKey> names(int n, uint64_t text) {
  std::vector<PageKey> keys(static_cast<size_t>(n));
  PageKey key;
  for (PageKey& k : keys) {
    key.add(text);
    k = key;
  }
  return keys;
}

}  // namespace sw
