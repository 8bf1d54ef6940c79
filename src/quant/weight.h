// SPDX-License-Identifier: MIT
#pragma once
#include "quant/type.h"
#include "tensor/shape.h"
#include "tensor/view.h"

namespace sw {

/// A borrowed weight tensor in its stored format: rows of blocks, contiguous. Shape [n_out, n_in] for a
/// matrix, [n_expert, n_out, n_in] for stacked experts, [n] for a vector.
struct WeightView {
  Type type = Type::F32;
  Shape shape = {};
  const std::byte* data = nullptr;
  Device device = {};

  bool empty() const { return data == nullptr; }
  size_t row_size_bytes() const { return row_bytes(type, shape.n_cols()); }
  size_t size_bytes() const { return row_size_bytes() * static_cast<size_t>(shape.n_rows()); }
  const std::byte* row(int64_t i) const { return data + row_size_bytes() * static_cast<size_t>(i); }
  /// Matrix `e` of stacked experts.
  WeightView expert(int64_t e) const {
    SW_ASSERT(shape.n_dims() == 3 && e >= 0 && e < shape[0]);
    return {type, {shape[1], shape[2]}, row(e * shape[1]), device};
  }
};

}  // namespace sw
