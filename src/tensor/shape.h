// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/error.h"

namespace sw {

/// Up to four dimensions, row-major, outermost first. (GGUF files list them innermost first.)
class Shape {
 public:
  static constexpr int kMaxDims = 4;

  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<int64_t> dims) {
    SW_ASSERT(dims.size() <= kMaxDims);
    for (const int64_t d : dims) push_back(d);
  }

  constexpr int n_dims() const { return n_dims_; }
  constexpr int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  /// The innermost dimension: elements of a row. 1 for a scalar.
  constexpr int64_t n_cols() const { return n_dims_ == 0 ? 1 : dims_[static_cast<size_t>(n_dims_ - 1)]; }
  /// The product of all outer dimensions.
  constexpr int64_t n_rows() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < n_dims_; ++i) n *= dims_[static_cast<size_t>(i)];
    return n;
  }
  /// The product of all dimensions but the inner two: experts, heads; else 1.
  constexpr int64_t n_matrices() const {
    return n_dims_ > 2 ? n_rows() / dims_[static_cast<size_t>(n_dims_ - 2)] : 1;
  }
  constexpr int64_t n_elements() const { return n_rows() * n_cols(); }
  constexpr void push_back(int64_t dim) {
    SW_ASSERT(n_dims_ < kMaxDims);
    dims_[static_cast<size_t>(n_dims_++)] = dim;
  }
  /// "[256, 64, 32]"
  std::string to_string() const {
    std::string s = "[";
    for (int i = 0; i < n_dims_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
    return s + "]";
  }
  friend constexpr bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int64_t, kMaxDims> dims_ = {};
  int n_dims_ = 0;
};

}  // namespace sw
