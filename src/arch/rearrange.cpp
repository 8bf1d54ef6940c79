// SPDX-License-Identifier: MIT
#include "arch/rearrange.h"

namespace sw {

Rearranged rearranged(Transform transform, const Shape& shape, const HParams& h) {
  const int n_dims = shape.n_dims();
  Rearranged from{.n_row = n_dims > 1 ? shape[n_dims - 2] : 1, .n_col = shape.n_cols()};
  const auto stored = [&](int64_t n_row, int64_t n_col) {
    from.stored_rows = n_row;
    from.stored_cols = n_col;
  };
  const auto transposed = [&](int64_t n_row, int64_t n_col) {
    stored(n_row, n_col);
    from.transposed = true;
  };
  switch (transform) {
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
    case Transform::OneRowEach:
      from.one_row_each = true;
      break;
    default:
      break;
  }
  return from;
}

Shape stored_shape(const Shape& shape, const Rearranged& from) {
  if (from.one_row_each) return {shape[0], 1, shape[1]};
  if (!from.any()) return shape;
  const int n_dims = shape.n_dims();
  Shape stored;
  for (int i = 0; i + 2 < n_dims; ++i) stored.push_back(shape[i]);
  if (n_dims > 1) stored.push_back(from.stored_rows);
  stored.push_back(from.stored_cols);
  return from.joined ? Shape{stored[0] * stored[1], stored[2]} : stored;
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
