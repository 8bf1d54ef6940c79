// SPDX-License-Identifier: MIT
#include "kv/cache_type.h"

#include <algorithm>

#include "base/letter_case.h"

namespace sw {

bool can_cache(Type type, int64_t n_elems) {
  return std::ranges::find(kCacheTypes, type) != std::end(kCacheTypes) &&
         n_elems % traits(type).block_elems == 0;
}

std::string types_that_cache(int64_t n_elems) {
  std::string names;
  for (const Type type : kCacheTypes) {
    if (can_cache(type, n_elems)) names += (names.empty() ? "" : ", ") + cache_type_name(type);
  }
  return names;
}

std::string cache_type_name(Type type) { return lower_case(type_name(type)); }

}  // namespace sw
