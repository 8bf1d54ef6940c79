// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

/// Rows of a weight format T, a struct that declares
///   kBlockElems    weights of a block; 1 for formats that are not quantized
///   Block          its bytes in a file
///   at(block, i)   weight i of a block: what the format means. constexpr, so that nvcc compiles it for GPUs,
///                  where a product and a sum may be fused: a sum takes exact products only
///   decode(block, out)    optional: the same bits for a whole block, where at() does work again and again
///   encode(x, importance or null, block)    the scalar reference
///   encode_quickly(x, block)    optional, where encode() searches long: for rows that are written as a model
///                  runs. Within kErrorBound too
///   kMaxMagnitude  the largest weight it takes; quantized formats clip to it and read NaN as 0
///   kErrorBound    largest error, as a fraction of the largest magnitude of the block, or of the row where
///                  rows have a header; where no scale is so small that f16 holds it as a subnormal (tested
///                  on many distributions, not proven)
/// A format whose rows begin with bytes of their own (a scale per row) declares these too:
///   RowHeader      those bytes
///   header_of(x, n_elems, importance or null)    the header of a row
/// and at, decode and encode then take the header first. So nothing but this file may compute where a block
/// is; the smallest piece that can be encoded is a row.
namespace sw {

template <class T>
concept HasRowHeader = requires {
  typename T::RowHeader;
};

struct NoRowHeader {};
template <class T>
struct RowHeaderOf {
  using Type = NoRowHeader;
  static constexpr size_t kBytes = 0;
};
template <HasRowHeader T>
struct RowHeaderOf<T> {
  using Type = typename T::RowHeader;
  static constexpr size_t kBytes = sizeof(Type);
  static_assert(kBytes % alignof(typename T::Block) == 0, "blocks are aligned where rows are");
};
template <class T>
inline constexpr size_t kRowHeaderBytes = RowHeaderOf<T>::kBytes;

/// Bytes of a row of `n_elems` (a multiple of T::kBlockElems).
template <class T>
constexpr size_t row_bytes(int64_t n_elems) {
  return kRowHeaderBytes<T> + static_cast<size_t>(n_elems / T::kBlockElems) * sizeof(typename T::Block);
}

/// Weight i of a block of a row that begins with `header`.
template <class T>
constexpr float weight_at(const typename RowHeaderOf<T>::Type& header, const typename T::Block& block,
                          int i) {
  if constexpr (HasRowHeader<T>) {
    return T::at(header, block, i);
  } else {
    return T::at(block, i);
  }
}

/// The weights k .. k + 3 of a row of n, 0 beyond its end: how a GPU reads a format that it has no faster
/// code for. `row` is aligned as T's header and blocks are.
template <class T>
constexpr void decode_quad(const std::byte* row, int k, int n, float (&quad)[4]) {
  const auto& header = *reinterpret_cast<const typename RowHeaderOf<T>::Type*>(row);
  const auto* blocks = reinterpret_cast<const typename T::Block*>(row + kRowHeaderBytes<T>);
  for (int i = k; i < k + 4; ++i) {
    quad[i - k] = i < n ? weight_at<T>(header, blocks[i / T::kBlockElems], i % T::kBlockElems) : 0.0f;
  }
}

/// All weights of a block, by parts of so many that the places of most formats' bits are constants.
template <class T, int... kPart>
void decode_block(const typename RowHeaderOf<T>::Type& header, const typename T::Block& block, float* out,
                  std::integer_sequence<int, kPart...>) {
  for (int i = 0; i < T::kBlockElems; i += sizeof...(kPart)) {
    ((out[i + kPart] = weight_at<T>(header, block, i + kPart)), ...);
  }
}

/// Decodes the weights [begin, begin + n_elems) of a row of any alignment; both are multiples of
/// T::kBlockElems.
template <class T>
void decode_range(const std::byte* row, int64_t begin, int64_t n_elems, float* dst) {
  typename RowHeaderOf<T>::Type header = {};
  std::memcpy(&header, row, kRowHeaderBytes<T>);
  const std::byte* src = row + row_bytes<T>(begin);
  for (int64_t i = 0; i < n_elems; i += T::kBlockElems, src += sizeof(typename T::Block)) {
    typename T::Block block;
    std::memcpy(&block, src, sizeof block);
    if constexpr (requires { T::decode(block, dst); }) {
      T::decode(block, dst + i);
    } else if constexpr (requires { T::decode(header, block, dst); }) {
      T::decode(header, block, dst + i);
    } else {
      decode_block<T>(header, block, dst + i,
                      std::make_integer_sequence<int, std::min(T::kBlockElems, 32)>());
    }
  }
}

template <class T>
void decode_row(const std::byte* row, float* dst, int64_t n_elems) {
  decode_range<T>(row, 0, n_elems, dst);
}

/// Encodes a row of `n_elems` (a multiple of T::kBlockElems) to `row`, of any alignment; `importance` has
/// n_elems weights or is null.
template <class T>
void encode_row(const float* x, std::byte* row, int64_t n_elems, const float* importance) {
  typename RowHeaderOf<T>::Type header = {};
  if constexpr (HasRowHeader<T>) header = T::header_of(x, n_elems, importance);
  std::memcpy(row, &header, kRowHeaderBytes<T>);
  std::byte* dst = row + kRowHeaderBytes<T>;
  for (int64_t i = 0; i < n_elems; i += T::kBlockElems, dst += sizeof(typename T::Block)) {
    typename T::Block block;
    if constexpr (HasRowHeader<T>) {
      T::encode(header, x + i, importance ? importance + i : nullptr, block);
    } else {
      T::encode(x + i, importance ? importance + i : nullptr, block);
    }
    std::memcpy(dst, &block, sizeof block);
  }
}

/// T with its quick encoder for its own, where it has one.
template <class T>
struct Quickly : T {
  static void encode(const float* x, const float* importance, typename T::Block& block) {
    if constexpr (requires { T::encode_quickly(x, block); }) {
      T::encode_quickly(x, block);
    } else {
      T::encode(x, importance, block);
    }
  }
};

/// The same without importance and without a long search.
template <class T>
void encode_row_quickly(const float* x, std::byte* row, int64_t n_elems) {
  if constexpr (HasRowHeader<T>) {
    encode_row<T>(x, row, n_elems, nullptr);
  } else {
    encode_row<Quickly<T>>(x, row, n_elems, nullptr);
  }
}

}  // namespace sw
