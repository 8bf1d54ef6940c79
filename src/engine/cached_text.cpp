// SPDX-License-Identifier: MIT
#include "engine/cached_text.h"

namespace sw {

int64_t CachedText::last_point(int64_t n) const {
  while (n > 0 && !cache_.can_go_on_after(names_.all().first(static_cast<size_t>(n)))) --n;
  return n;
}

bool CachedText::read(int g, int64_t page, std::span<std::byte> to) const {
  const int32_t from = cache_.find_page(g, name(page));
  if (from < 0) return false;
  copy_.out(g, from, to);
  return true;
}

void CachedText::touch() {
  for (int64_t p = n_page(); p-- > 0;) {
    for (int g = 0; g < plan().n_group(); ++g) cache_.touch(g, name(p));
  }
}

}  // namespace sw
