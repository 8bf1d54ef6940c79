// SPDX-License-Identifier: MIT
// Weights from what a quantiser stored.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "convert/checkpoint.h"
#include "quant/mxfp4.h"
#include "quant/q4_0.h"

namespace sw {
namespace {

/// Decodes rows of one tensor.
class RowDecoder {
 public:
  explicit RowDecoder(const CheckpointTensor& tensor)
      : t_(tensor),
        n_col_(tensor.shape.n_cols()),
        stored_row_bytes_(tensor.stored->data.size() /
                          static_cast<size_t>(std::max<int64_t>(1, tensor.shape.n_rows()))) {
    if (t_.packing == Packing::None) return;
    const bool powers = t_.packing == Packing::Mxfp4;
    if (!powers) scales_ = Safetensors::to_f32(*t_.scales);
    const bool finite = powers ? std::ranges::find(t_.scales->data, kNoPower) == t_.scales->data.end()
                               : std::ranges::all_of(scales_, [](float s) { return std::isfinite(s); });
    if (!finite || !std::isfinite(t_.scale_of_all)) {
      throw Error({.what = "a scale is not a finite number",
                   .where = "tensor " + printable(t_.scales->name),
                   .hint = "the weights are damaged: get them anew"});
    }
  }

  void decode(int64_t row, std::byte* out) const {
    const std::byte* codes = t_.stored->data.data() + static_cast<size_t>(row) * stored_row_bytes_;
    switch (t_.packing) {
      case Packing::None:
        if (t_.stored->dtype == StDtype::F64) return narrow(codes, as_floats(out));
        std::memcpy(out, codes, stored_row_bytes_);
        return;
      case Packing::Scaled:
        return scale(codes, row, as_floats(out));
      case Packing::Mxfp4:
        return reorder_mxfp4(codes, row, out);
      case Packing::Nvfp4:
        return decode_nvfp4(codes, row, as_floats(out));
      case Packing::Int4:
        if (t_.rows_as == Type::Q4_0) return reorder_int4(codes, row, out);
        return decode_int4(codes, row, as_floats(out));
    }
  }

 private:
  static constexpr std::byte kNoPower{255};  // OCP's NaN

  static float* as_floats(std::byte* out) { return reinterpret_cast<float*>(out); }
  static int nibble(std::byte byte, int64_t i) { return std::to_integer<int>(byte) >> (i % 2 * 4) & 15; }
  float scale_at(int64_t row, int64_t col) const {
    if (scales_.size() == 1) return scales_.front();
    const int64_t n = matrix_rows(t_.shape);
    const int64_t per_matrix = (n + t_.scale_rows - 1) / t_.scale_rows;
    const int64_t per_row = (n_col_ + t_.scale_cols - 1) / t_.scale_cols;
    const int64_t scale_row = row / n * per_matrix + row % n / t_.scale_rows;
    return scales_[static_cast<size_t>(scale_row * per_row + col / t_.scale_cols)];
  }

  void narrow(const std::byte* codes, float* out) const {
    for (int64_t i = 0; i < n_col_; ++i) {
      double value;
      std::memcpy(&value, codes + static_cast<size_t>(i) * sizeof(value), sizeof(value));
      out[i] = static_cast<float>(value);
    }
  }
  /// Calls f(begin, end, scale) for the columns of each scale.
  template <class F>
  void for_each_scale(int64_t row, F&& f) const {
    for (int64_t begin = 0; begin < n_col_; begin += t_.scale_cols)
      f(begin, std::min(begin + t_.scale_cols, n_col_), scale_at(row, begin));
  }
  void scale(const std::byte* codes, int64_t row, float* out) const {
    const bool integers = t_.stored->dtype == StDtype::I8;
    for_each_scale(row, [&](int64_t begin, int64_t end, float scale) {
      for (int64_t i = begin; i < end; ++i) {
        const auto code = std::to_integer<uint8_t>(codes[i]);
        out[i] = scale * (integers ? static_cast<float>(static_cast<int8_t>(code)) : f8_e4m3_to_f32(code));
      }
    });
  }
  void decode_nvfp4(const std::byte* codes, int64_t row, float* out) const {
    for_each_scale(row, [&](int64_t begin, int64_t end, float scale) {
      const float step = 0.5f * (scale * t_.scale_of_all);  // of twice the floats
      for (int64_t i = begin; i < end; ++i)
        out[i] = step * static_cast<float>(MXFP4::kDoubled[nibble(codes[i / 2], i)]);
    });
  }
  void decode_int4(const std::byte* codes, int64_t row, float* out) const {
    for_each_scale(row, [&](int64_t begin, int64_t end, float scale) {
      for (int64_t i = begin; i < end; ++i) out[i] = scale * static_cast<float>(nibble(codes[i / 2], i) - 8);
    });
  }

  /// A block's nibbles: neighbours in a byte there, weights i and i + 16 in GGUF's.
  static void split_halves(const std::byte* codes, uint8_t (&q)[16]) {
    for (int64_t i = 0; i < 16; ++i)
      q[i] = static_cast<uint8_t>(nibble(codes[i / 2], i) | nibble(codes[8 + i / 2], i) << 4);
  }
  void reorder_mxfp4(const std::byte* codes, int64_t row, std::byte* out) const {
    const int64_t n_block = n_col_ / MXFP4::kBlockElems;
    const std::byte* scales = t_.scales->data.data() + row * n_block;
    for (int64_t b = 0; b < n_block; ++b) {
      MXFP4::Block block = {.e = std::to_integer<uint8_t>(scales[b]), .q = {}};
      split_halves(codes + b * 16, block.q);
      std::memcpy(out + static_cast<size_t>(b) * sizeof(block), &block, sizeof(block));
    }
  }
  void reorder_int4(const std::byte* codes, int64_t row, std::byte* out) const {
    for (int64_t b = 0; b < n_col_ / Q4_0::kBlockElems; ++b) {
      Q4_0::Block block = {.d = f32_to_f16(scale_at(row, b * Q4_0::kBlockElems)), .q = {}};
      split_halves(codes + b * 16, block.q);
      std::memcpy(out + static_cast<size_t>(b) * sizeof(block), &block, sizeof(block));
    }
  }

  const CheckpointTensor& t_;
  int64_t n_col_;
  size_t stored_row_bytes_;
  std::vector<float> scales_;
};

}  // namespace

RowBytes read_rows(const CheckpointRows& rows, ThreadPool& pool) {
  const CheckpointTensor& tensor = *rows.tensor;
  const size_t n_bytes = row_bytes(tensor.rows_as, tensor.shape.n_cols());
  if (tensor.packing == Packing::None && rows.step == 1 && tensor.stored->dtype != StDtype::F64)
    return {.data = tensor.stored->data.data() + static_cast<size_t>(rows.first) * n_bytes};
  const RowDecoder decoder(tensor);
  Buffer out(n_bytes * static_cast<size_t>(rows.n_row));
  pool.for_ranges(rows.n_row, 1, [&](Range mine, int) {
    for (int64_t r = mine.begin; r < mine.end; ++r)
      decoder.decode(rows.first + r * rows.step, out.data() + static_cast<size_t>(r) * n_bytes);
  });
  return {.data = out.data(), .decoded = std::move(out)};
}

std::vector<float> rows_to_f32(const CheckpointRows& rows, ThreadPool& pool) {
  const RowBytes bytes = read_rows(rows, pool);
  const int64_t n_col = rows.tensor->shape.n_cols();
  std::vector<float> values(static_cast<size_t>(rows.n_row * n_col));
  decode_rows(rows.tensor->rows_as, bytes.data, rows.n_row, n_col, values.data());
  return values;
}

}  // namespace sw
