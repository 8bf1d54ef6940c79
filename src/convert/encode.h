// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/thread_pool.h"
#include "quant/type.h"

namespace sw {

/// general.quantization_version of files whose blocks are laid out as our formats are.
constexpr uint32_t kQuantizationVersion = 2;

/// Rows of a tensor in one format, borrowed.
struct EncodedRows {
  Type type = Type::F32;
  const std::byte* data = nullptr;  ///< of any alignment
  int64_t n_rows = 0, n_cols = 0;
};

/// A weight that is no finite number, or that the format cannot hold.
struct BadWeight {
  int64_t row = 0, col = 0;
  float value = 0;
};
/// Throws sw::Error that names the tensor.
[[noreturn]] void refuse_bad_weight(const BadWeight& bad, Type to, const std::string& tensor);

/// Writes `src` to `dst` as rows of format `to`: by copy where the format is the same (NaN patterns and
/// all), else through f32. The same bytes for any number of threads. n_cols is a multiple of both
/// formats' blocks. Takes one f32 row of memory a thread. Gives the first weight that `to` cannot hold, which
/// is clipped or lost; quantised rows that are copied are not looked at.
/// `importance` [n_cols], or null: how much the error of each column counts.
[[nodiscard]] std::optional<BadWeight> reencode(const EncodedRows& src, Type to, std::byte* dst,
                                                ThreadPool& pool, const float* importance = nullptr);

}  // namespace sw
