// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "base/error.h"

namespace sw {

/// Where memory lives. Index 0 is the CPU; others are GPUs or fake devices.
struct Device {
  int index = 0;
  constexpr bool is_cpu() const { return index == 0; }
  friend constexpr bool operator==(Device, Device) = default;
};

/// A borrowed matrix [n_rows, n_cols] of T with a row stride in elements. A vector has one row.
template <class T>
class TensorView {
 public:
  constexpr TensorView() = default;
  constexpr TensorView(T* data, int64_t n_rows, int64_t n_cols, int64_t stride, Device device = {})
      : data_(data), n_rows_(n_rows), n_cols_(n_cols), stride_(stride), device_(device) {}
  constexpr TensorView(T* data, int64_t n_rows, int64_t n_cols) : TensorView(data, n_rows, n_cols, n_cols) {}
  /// A view of T is a view of const T.
  constexpr operator TensorView<const T>() const {  // NOLINT: implicit, like T* to const T*
    return {data_, n_rows_, n_cols_, stride_, device_};
  }

  constexpr T* data() const { return data_; }
  constexpr int64_t n_rows() const { return n_rows_; }
  constexpr int64_t n_cols() const { return n_cols_; }
  constexpr int64_t stride() const { return stride_; }
  constexpr Device device() const { return device_; }
  constexpr bool empty() const { return data_ == nullptr; }
  constexpr T* row(int64_t i) const { return data_ + i * stride_; }
  constexpr T& at(int64_t i, int64_t j) const { return data_[i * stride_ + j]; }
  /// Rows [begin, begin + n).
  constexpr TensorView rows(int64_t begin, int64_t n) const {
    SW_ASSERT(begin >= 0 && n >= 0 && begin + n <= n_rows_);
    return {row(begin), n, n_cols_, stride_, device_};
  }

 private:
  T* data_ = nullptr;
  int64_t n_rows_ = 0, n_cols_ = 0, stride_ = 0;
  Device device_ = {};
};

}  // namespace sw
