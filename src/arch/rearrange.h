// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "arch/spec.h"
#include "tensor/shape.h"

namespace sw {

/// Where the matrices of a tensor [..., n_row, n_col] lie in those that a checkpoint stores.
struct Rearranged {
  int64_t n_row = 0, n_col = 0;
  int64_t stored_rows = 0, stored_cols = 0;  ///< 0: the tensor is taken as it is stored
  int64_t first_row = 0;                     ///< stored rows are taken from here on,
  int64_t first_col = 0, col_step = 1;       ///< and of their columns every so-many-th
  bool transposed = false;                   ///< afterwards
  bool joined = false;                       ///< the stored matrices are one, each below the one before
  bool one_row_each = false;                 ///< as it is stored, but there every row is a matrix

  bool any() const { return stored_rows > 0; }
};
/// Of a tensor of this shape.
Rearranged rearranged(Transform transform, const Shape& shape, const HParams& h);

/// The shape that the checkpoint stores, outermost first. Of a stack: all its parts together.
Shape stored_shape(const Shape& shape, const Rearranged& from);

/// The tensor's values from the stored ones.
std::vector<float> rearrange(std::span<const float> stored, const Rearranged& from);

}  // namespace sw
