// SPDX-License-Identifier: MIT
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "convert/hf_quantization.h"
#include "formats/safetensors.h"
#include "quant/type.h"
#include "tensor/buffer.h"

/// The weights of a checkpoint, whatever stores them. What a quantiser wrote as several tensors (codes,
/// scales) is one weight here, under the name that it has in a checkpoint that is not quantised.
namespace sw {

/// How codes and scales make a weight.
enum class Packing : uint8_t {
  None,    ///< a tensor's elements are the weights
  Scaled,  ///< elements (FP8 or I8) times the scale of their block, row or tensor
  Mxfp4,   ///< nibbles, neighbours in a byte, and a power of two for 32 of them
  Nvfp4,   ///< nibbles, neighbours in a byte, an FP8 scale for 16 of them and one scale for all
  Int4,    ///< nibbles plus 8, eight to an I32 from the lowest bits on, and a scale for `scale_cols` of them
};

struct CheckpointTensor {
  std::string name = {};
  Shape shape = {};               ///< of the weights, outermost first
  std::optional<Type> type = {};  ///< the format that loses nothing, or BF16 for FP8; nothing: no weights
  Type rows_as = Type::F32;       ///< the format that read_rows() gives
  Packing packing = Packing::None;
  const StTensor* stored = nullptr;
  const StTensor* scales = nullptr;
  int64_t scale_rows = 1, scale_cols = 1;  ///< weights of one scale: so many rows of so many columns
  float scale_of_all = 1;
};

/// Rows of one matrix of a stack; 1 for a vector.
inline int64_t matrix_rows(const Shape& shape) { return shape.n_dims() > 1 ? shape[shape.n_dims() - 2] : 1; }

/// Rows of a tensor: n_row of them from `first` on, every step-th.
struct CheckpointRows {
  const CheckpointTensor* tensor = nullptr;
  int64_t first = 0, step = 1, n_row = 0;
};

/// Where rows lie: in the checkpoint, or decoded in `decoded`.
struct RowBytes {
  const std::byte* data = nullptr;
  Buffer decoded = {};
};

/// Rows in the format tensor->rows_as, one after the other. Costs a pass over them where they are not plain
/// rows that follow each other. Throws sw::Error for a scale that is no number.
RowBytes read_rows(const CheckpointRows& rows, ThreadPool& pool);
/// The same as f32 [n_row * n_col].
std::vector<float> rows_to_f32(const CheckpointRows& rows, ThreadPool& pool);

class Checkpoint {
 public:
  /// Matches codes with their scales. `file` must outlive this. Reads the scales of four-bit integers, to see
  /// whether Q4_0 holds them. Throws sw::Error where a scale is missing or its shape does not fit.
  Checkpoint(const Safetensors& file, const HfQuantization& quantization);

  using Tensors = std::map<std::string, CheckpointTensor, std::less<>>;
  const Tensors& tensors() const { return tensors_; }
  /// Null where there is none of that name.
  const CheckpointTensor* find(std::string_view name) const;
  /// Tensors of the file that quantise activations or the cache, which nothing here does.
  size_t n_activation_scale() const { return n_activation_scale_; }

 private:
  Tensors tensors_;
  size_t n_activation_scale_ = 0;
};

}  // namespace sw
