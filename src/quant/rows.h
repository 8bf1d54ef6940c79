// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

/// Rows of blocks of a format T, a struct that declares
///   kBlockElems    weights of a block; 1 for formats that are not quantised
///   Block          its bytes as they stand in a file
///   decode(block, out), encode(x, importance or null, block)    the scalar reference
///   kMaxMagnitude  the largest weight it takes; quantised formats clip to it and read NaN as 0
///   kErrorBound    largest error, as a fraction of the block's largest magnitude, where no scale is so
///                  small that f16 holds it as a subnormal (tested on many distributions, not proven)
namespace sw {

/// Decodes `n_elems` (a multiple of T::kBlockElems) from `src`, of any alignment.
template <class T>
void decode_row(const std::byte* src, float* dst, int64_t n_elems) {
  for (int64_t i = 0; i < n_elems; i += T::kBlockElems, src += sizeof(typename T::Block)) {
    typename T::Block block;
    std::memcpy(&block, src, sizeof block);
    T::decode(block, dst + i);
  }
}

/// Encodes `n_elems` to `dst`, of any alignment; `importance` has n_elems weights or is null.
template <class T>
void encode_row(const float* src, std::byte* dst, int64_t n_elems, const float* importance) {
  for (int64_t i = 0; i < n_elems; i += T::kBlockElems, dst += sizeof(typename T::Block)) {
    typename T::Block block;
    T::encode(src + i, importance ? importance + i : nullptr, block);
    std::memcpy(dst, &block, sizeof block);
  }
}

}  // namespace sw
