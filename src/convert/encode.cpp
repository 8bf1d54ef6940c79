// SPDX-License-Identifier: MIT
#include "convert/encode.h"

#include <cstring>
#include <vector>

#include "base/error.h"

namespace sw {

void reencode(const EncodedRows& src, Type to, std::byte* dst, ThreadPool& pool) {
  const size_t src_row_bytes = row_bytes(src.type, src.n_cols);
  const size_t dst_row_bytes = row_bytes(to, src.n_cols);
  if (src.type == to) {
    std::memcpy(dst, src.data, static_cast<size_t>(src.n_rows) * src_row_bytes);
    return;
  }
  const TypeTraits& from_traits = traits(src.type);
  const TypeTraits& to_traits = traits(to);
  SW_ASSERT(src.n_cols % from_traits.block_elems == 0 && src.n_cols % to_traits.block_elems == 0);
  const auto n_cols = static_cast<size_t>(src.n_cols);
  std::vector<float> scratch(n_cols * static_cast<size_t>(pool.size()));
  pool.run([&](ThreadPool::Team& team) {
    float* row = scratch.data() + n_cols * static_cast<size_t>(team.index());
    const Range rows = team.share(src.n_rows);
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      from_traits.decode(src.data + static_cast<size_t>(i) * src_row_bytes, row, src.n_cols);
      to_traits.encode(row, dst + static_cast<size_t>(i) * dst_row_bytes, src.n_cols, nullptr);
    }
  });
}

}  // namespace sw
