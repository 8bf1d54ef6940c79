// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "tensor/view.h"

namespace sw::cuda {

class Queue;

/// Rows that argmax_rows() takes at once.
inline constexpr int64_t kMostArgmaxRows = 256;

/// What a greedy sampler takes of each row of logits, by the rules of sw::Candidates. Queued; every pointer
/// is the GPU's. logits  [n_row, n_vocab], n_row at most kMostArgmaxRows out     [n_row] the id of the
/// largest logit, of equal ones the lowest id; -1 where all are -inf; -2 - id
///         where a logit is NaN or +inf, of the lowest such id
void argmax_rows(TensorView<const float> logits, int32_t* out, Queue& queue);

}  // namespace sw::cuda
