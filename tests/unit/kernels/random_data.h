// SPDX-License-Identifier: MIT
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "quant/type.h"
#include "quant/with_type.h"

namespace sw::testing {

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

/// Rows that use every bit pattern of scales and quants; only the f16 factors are kept tame. Plain
/// formats have no such patterns and are encoded.
inline std::vector<std::byte> wild_weights(Rng& rng, Type type, int64_t n_row, int64_t n_in) {
  if (!traits(type).quantized) return encoded_weights(rng, type, n_row, n_in);
  std::vector<std::byte> bytes(row_bytes(type, n_in) * static_cast<size_t>(n_row));
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng.below(256));
  with_type(type, [&]<class Format>() {
    using Block = typename Format::Block;
    for (size_t at = 0; at < bytes.size(); at += sizeof(Block)) {
      Block block;
      std::memcpy(&block, bytes.data() + at, sizeof block);
      const auto factor = [&] { return f32_to_f16(static_cast<float>(rng.uniform() - 0.5) * 0.01f); };
      if constexpr (requires { block.d; }) block.d = factor();
      if constexpr (requires { block.dmin; }) block.dmin = factor();
      if constexpr (requires { Format::set_factor_bits(block, factor()); }) {
        Format::set_factor_bits(block, factor());
      }
      if constexpr (requires { block.e; }) block.e = static_cast<uint8_t>(116 + rng.below(6));
      std::memcpy(bytes.data() + at, &block, sizeof block);
    }
  });
  return bytes;
}

}  // namespace sw::testing
