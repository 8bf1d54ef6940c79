// SPDX-License-Identifier: MIT
#include "convert/encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/core.h>
#include <vector>

#include "base/error.h"
#include "quant/with_type.h"

namespace sw {
namespace {

float max_magnitude(Type type) {
  return with_type(type, []<class T>() { return T::kMaxMagnitude; });
}

/// The column of the first weight beyond `limit` or NaN; nothing where there is none.
std::optional<int64_t> find_bad(const float* row, int64_t n, float limit) {
  bool good = true;  // without a way out, so that it is fast
  for (int64_t i = 0; i < n; ++i) good &= std::abs(row[i]) <= limit;
  if (good) return std::nullopt;
  return std::find_if(row, row + n, [&](float x) { return !(std::abs(x) <= limit); }) - row;
}

}  // namespace

void refuse_bad_weight(const BadWeight& bad, Type to, const std::string& tensor) {
  const bool finite = std::isfinite(bad.value);
  throw Error({.what = finite ? "a weight is too large for its format" : "a weight is not a finite number",
               .where = fmt::format("tensor {}, row {}, column {}", printable(tensor), bad.row, bad.col),
               .expected = fmt::format("at most {:g} ({})", max_magnitude(to), type_name(to)),
               .got = fmt::format("{}", bad.value),
               .hint = !finite            ? "the weights are damaged: get them anew"
                       : to == Type::BF16 ? "F32 holds it"
                                          : "BF16 and F32 hold it"});
}

std::optional<BadWeight> reencode(const EncodedRows& src, Type to, std::byte* dst, ThreadPool& pool,
                                  const float* importance) {
  const size_t src_row_bytes = row_bytes(src.type, src.n_cols);
  const size_t dst_row_bytes = row_bytes(to, src.n_cols);
  const TypeTraits& from_traits = traits(src.type);
  const TypeTraits& to_traits = traits(to);
  const bool copied = src.type == to;
  if (copied) std::memcpy(dst, src.data, static_cast<size_t>(src.n_rows) * src_row_bytes);
  if (copied && to_traits.quantized) return std::nullopt;
  SW_ASSERT(src.n_cols % from_traits.block_elems == 0 && src.n_cols % to_traits.block_elems == 0);
  const auto n_cols = static_cast<size_t>(src.n_cols);
  const float limit = max_magnitude(to);
  std::vector<float> scratch(n_cols * static_cast<size_t>(pool.size()));
  std::vector<std::optional<BadWeight>> found(static_cast<size_t>(pool.size()));  // each thread's first
  pool.for_ranges(src.n_rows, 1, [&](Range rows, int worker) {
    float* row = scratch.data() + n_cols * static_cast<size_t>(worker);
    std::optional<BadWeight>& first = found[static_cast<size_t>(worker)];
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      from_traits.decode(src.data + static_cast<size_t>(i) * src_row_bytes, row, src.n_cols);
      const std::optional<int64_t> bad = find_bad(row, src.n_cols, limit);
      if (bad && !first) first = {i, *bad, row[*bad]};
      if (!copied)
        to_traits.encode(row, dst + static_cast<size_t>(i) * dst_row_bytes, src.n_cols, importance);
    }
  });
  const auto row_of = [&](const auto& bad) { return bad ? bad->row : src.n_rows; };
  return *std::ranges::min_element(found, {}, row_of);
}

}  // namespace sw
