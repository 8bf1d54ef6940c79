// SPDX-License-Identifier: MIT
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "quant/rows.h"
#include "quant/type.h"
#include "quant/with_type.h"

namespace sw::testing {

/// Formats that GPUs read.
inline constexpr Type kGpuTypes[] = {
#define SW_GPU_TYPE(name) Type::name,
#include "kernels/gpu_types.inc"
#undef SW_GPU_TYPE
};
/// Formats that operations are tested with: these, one of a codebook and one with a header per row. Products
/// alone are tested with all.
inline constexpr Type kOpTypes[] = {
#define SW_GPU_TYPE(name) Type::name,
#include "kernels/gpu_types.inc"
#undef SW_GPU_TYPE
    Type::IQ4_XS,
    Type::IQ4_KS,
};

/// About normal, mean 0, deviation 1 (a sum of 12 uniforms: never beyond 6).
inline float random_normal(Rng& rng) {
  double sum = -6.0;
  for (int i = 0; i < 12; ++i) sum += rng.uniform();
  return static_cast<float>(sum);
}

inline std::vector<float> random_floats(Rng& rng, int64_t n, float deviation = 1.0f) {
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = deviation * random_normal(rng);
  return values;
}

/// Rows as an encoder would write them. Searching encoders are slow: after 17 rows, which no tile of rows
/// divides, they repeat.
inline std::vector<std::byte> encoded_weights(Rng& rng, Type type, int64_t n_row, int64_t n_in) {
  constexpr int64_t kDistinct = 17;
  const size_t n_bytes = row_bytes(type, n_in);
  std::vector<std::byte> bytes(n_bytes * static_cast<size_t>(n_row));
  for (int64_t r = 0; r < n_row; ++r) {
    std::byte* dst = bytes.data() + n_bytes * static_cast<size_t>(r);
    if (r >= kDistinct) {
      std::memcpy(dst, dst - n_bytes * kDistinct, n_bytes);
      continue;
    }
    const std::vector<float> row = random_floats(rng, n_in, 0.05f);
    traits(type).encode(row.data(), dst, n_in, nullptr);
  }
  return bytes;
}

/// Calls change(block) for every block of rows of `n_in` weights, after giving rows with a header the factor
/// that row_factor() returns.
template <class Format, class RowFactor, class Change>
void change_blocks(std::vector<std::byte>& bytes, int64_t n_in, const RowFactor& row_factor,
                   const Change& change) {
  for (size_t row = 0; row < bytes.size(); row += row_bytes<Format>(n_in)) {
    if constexpr (HasRowHeader<Format>) {
      const auto header = Format::RowHeader::of(row_factor());
      std::memcpy(bytes.data() + row, &header, sizeof header);
    }
    for (int64_t i = 0; i < n_in; i += Format::kBlockElems) {
      typename Format::Block block;
      std::byte* at = bytes.data() + row + row_bytes<Format>(i);
      std::memcpy(&block, at, sizeof block);
      change(block);
      std::memcpy(at, &block, sizeof block);
    }
  }
}

/// Rows that use every bit pattern of scales and quants; only the factors are kept tame. Plain
/// formats have no such patterns and are encoded.
inline std::vector<std::byte> wild_weights(Rng& rng, Type type, int64_t n_row, int64_t n_in) {
  if (!traits(type).quantized) return encoded_weights(rng, type, n_row, n_in);
  std::vector<std::byte> bytes(row_bytes(type, n_in) * static_cast<size_t>(n_row));
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng.below(256));
  with_type(type, [&]<class Format>() {
    const auto factor = [&] { return static_cast<float>(rng.uniform() - 0.5) * 0.01f; };
    const auto factor_bits = [&] { return f32_to_f16(factor()); };
    change_blocks<Format>(bytes, n_in, factor, [&](typename Format::Block& block) {
      if constexpr (requires { block.d; }) block.d = factor_bits();
      if constexpr (requires { block.dmin; }) block.dmin = factor_bits();
      if constexpr (requires { Format::set_factor_bits(block, factor_bits()); }) {
        Format::set_factor_bits(block, factor_bits());
      }
      if constexpr (requires { block.e; }) block.e = static_cast<uint8_t>(116 + rng.below(6));
    });
  });
  return bytes;
}

}  // namespace sw::testing
