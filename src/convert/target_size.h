// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "convert/encode.h"
#include "formats/importance.h"
#include "quant/type.h"
#include "tensor/shape.h"

/// Formats chosen tensor by tensor, so that a file of a given size has the least error.
namespace sw {

/// A format that a tensor may have.
struct FormatChoice {
  Type type = Type::F32;
  uint64_t size_bytes = 0;  ///< of the tensor in a file, padding included
  double error = 0;
};

/// Of each tensor's formats one, so that all take at most `budget_bytes` and the sum of errors is small: from
/// the smallest on, ever the step that takes most error away per byte, steps past formats that no mixture of
/// two others beats (greedy on convex hulls); then what still fits. Gives an index for each tensor, or
/// nothing where even the smallest are too many bytes. Ties go to the earlier tensor.
std::optional<std::vector<size_t>> choose_formats(std::span<const std::vector<FormatChoice>> tensors,
                                                  uint64_t budget_bytes);

/// A weight tensor: n_matrix matrices (experts, heads; else one) of equal shape, one after the other.
struct MeasuredTensor {
  EncodedRows rows = {};  ///< of all matrices
  int64_t n_matrix = 1;
  const Importance* importance = nullptr;  ///< borrowed; null: all columns count alike
};

/// Whether a target has formats for rows of so many weights.
bool has_formats(int64_t n_col);

/// Bytes of such a tensor in the smallest of them, padding included.
uint64_t least_bytes(const Shape& shape);

/// The formats that a target chooses from and whose blocks divide such rows, each with its error: the squared
/// error of the tensor's outputs relative to their squares, estimated as the sum over weights of
/// importance x error^2 over that of importance x weight^2. An expert's importance counts by how many inputs
/// it saw. Measured on a random row of each of as many stretches, some 65,000 weights and a row of every 64th
/// part of a stack at least; the same for any number of threads. Cost: that many weights encoded and decoded
/// in each format.
std::vector<FormatChoice> measure_formats(const MeasuredTensor& tensor, ThreadPool& pool);

}  // namespace sw
