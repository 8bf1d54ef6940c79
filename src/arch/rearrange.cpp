// SPDX-License-Identifier: MIT
#include "arch/rearrange.h"

namespace sw {

Rearranged rearranged(const TensorSpec& spec, const HParams& h) {
  const std::vector<int64_t> shape = tensor_shape(spec, h);
  Rearranged from{.n_row = shape.size() > 1 ? shape[shape.size() - 2] : 1, .n_col = shape.back()};
  const auto stored = [&](int64_t n_row, int64_t n_col) {
    from.stored_rows = n_row;
    from.stored_cols = n_col;
  };
  const auto transposed = [&](int64_t n_row, int64_t n_col) {
    stored(n_row, n_col);
    from.transposed = true;
  };
  switch (spec.transform) {
    case Transform::Transposed:
      transposed(from.n_col, from.n_row);
      break;
    case Transform::OddTransposed:
      from.first_col = 1;
      [[fallthrough]];
    case Transform::EvenTransposed:
      from.col_step = 2;
      transposed(from.n_col, 2 * from.n_row);
      break;
    case Transform::SecondHalfTransposed:
      from.first_col = from.n_row;
      [[fallthrough]];
    case Transform::FirstHalfTransposed:
      transposed(from.n_col, 2 * from.n_row);
      break;
    case Transform::Odd:
      from.first_col = 1;
      [[fallthrough]];
    case Transform::Even:
      from.col_step = 2;
      stored(from.n_row, 2 * from.n_col);
      break;
    case Transform::KeyRowsTransposed:
      from.joined = true;
      transposed(from.n_col + h.mla.value_dim, from.n_row);
      break;
    case Transform::ValueRows:
      from.joined = true;
      from.first_row = h.mla.nope_dim;
      stored(h.mla.nope_dim + from.n_row, from.n_col);
      break;
    default:
      break;
  }
  return from;
}

std::vector<int64_t> stored_shape(const TensorSpec& spec, const HParams& h) {
  std::vector<int64_t> shape = tensor_shape(spec, h);
  const Rearranged from = rearranged(spec, h);
  if (!from.any()) return shape;
  shape.back() = from.stored_cols;
  if (shape.size() > 1) shape[shape.size() - 2] = from.stored_rows;
  if (from.joined) {
    shape[1] *= shape[0];
    shape.erase(shape.begin());
  }
  return shape;
}

std::vector<float> rearrange(std::span<const float> stored, const Rearranged& from) {
  std::vector<float> values;
  const int64_t n_stored = from.stored_rows * from.stored_cols;
  for (int64_t matrix = 0; matrix < std::ssize(stored); matrix += n_stored) {
    for (int64_t r = 0; r < from.n_row; ++r) {
      for (int64_t c = 0; c < from.n_col; ++c) {
        const int64_t row = from.first_row + (from.transposed ? c : r);
        const int64_t col = from.first_col + (from.transposed ? r : c) * from.col_step;
        values.push_back(stored[static_cast<size_t>(matrix + row * from.stored_cols + col)]);
      }
    }
  }
  return values;
}

}  // namespace sw
