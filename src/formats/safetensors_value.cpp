// SPDX-License-Identifier: MIT
#include <cstring>
#include <fmt/core.h>
#include <limits>

#include "base/error.h"
#include "base/half.h"
#include "formats/safetensors.h"

namespace sw {
namespace {

struct DtypeFacts {
  const char* name;
  size_t n_bytes;
};
constexpr DtypeFacts kDtypes[kStDtypeCount] = {{"F64", 8},     {"F32", 4},     {"F16", 2}, {"BF16", 2},
                                               {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"I64", 8}, {"I32", 4},
                                               {"I16", 2},     {"I8", 1},      {"U8", 1},  {"BOOL", 1}};

const DtypeFacts& facts(StDtype dtype) {
  const auto i = static_cast<int>(dtype);
  SW_ASSERT(i >= 0 && i < kStDtypeCount);
  return kDtypes[i];
}

/// Every element, stored as T, through convert(T). Data may lie unaligned in the file.
template <class T, class Out, class F>
std::vector<Out> convert_all(std::span<const std::byte> data, F&& convert) {
  std::vector<Out> out(data.size() / sizeof(T));
  for (size_t i = 0; i < out.size(); ++i) {
    T stored;
    std::memcpy(&stored, data.data() + i * sizeof(T), sizeof(T));
    out[i] = convert(stored);
  }
  return out;
}

template <class T>
std::vector<float> numbers_to_f32(std::span<const std::byte> data) {
  return convert_all<T, float>(data, [](T v) { return static_cast<float>(v); });
}

template <class T>
std::vector<int32_t> integers_to_i32(const StTensor& tensor) {
  return convert_all<T, int32_t>(tensor.data, [&](T v) {
    if constexpr (sizeof(T) > sizeof(int32_t)) {
      if (v < std::numeric_limits<int32_t>::min() || v > std::numeric_limits<int32_t>::max()) {
        throw Error({.what = "a value does not fit 32 bits",
                     .where = "tensor " + printable(tensor.name),
                     .got = std::to_string(v)});
      }
    }
    return static_cast<int32_t>(v);
  });
}

}  // namespace

const char* st_dtype_name(StDtype dtype) { return facts(dtype).name; }
size_t st_dtype_bytes(StDtype dtype) { return facts(dtype).n_bytes; }

std::vector<float> Safetensors::to_f32(const StTensor& tensor) {
  switch (tensor.dtype) {
    case StDtype::F64:
      return numbers_to_f32<double>(tensor.data);
    case StDtype::F32:
      return numbers_to_f32<float>(tensor.data);
    case StDtype::F16:
      return convert_all<uint16_t, float>(tensor.data, f16_to_f32);
    case StDtype::BF16:
      return convert_all<uint16_t, float>(tensor.data, bf16_to_f32);
    case StDtype::F8_E4M3:
      return convert_all<uint8_t, float>(tensor.data, f8_e4m3_to_f32);
    case StDtype::F8_E8M0:
      return convert_all<uint8_t, float>(tensor.data, f8_e8m0_to_f32);
    case StDtype::I64:
      return numbers_to_f32<int64_t>(tensor.data);
    case StDtype::I32:
      return numbers_to_f32<int32_t>(tensor.data);
    case StDtype::I16:
      return numbers_to_f32<int16_t>(tensor.data);
    case StDtype::I8:
      return numbers_to_f32<int8_t>(tensor.data);
    case StDtype::U8:
    case StDtype::Bool:
      return numbers_to_f32<uint8_t>(tensor.data);
  }
  SW_ASSERT(false);
}

std::vector<int32_t> Safetensors::to_i32(const StTensor& tensor) {
  switch (tensor.dtype) {
    case StDtype::I64:
      return integers_to_i32<int64_t>(tensor);
    case StDtype::I32:
      return integers_to_i32<int32_t>(tensor);
    case StDtype::I16:
      return integers_to_i32<int16_t>(tensor);
    case StDtype::I8:
      return integers_to_i32<int8_t>(tensor);
    case StDtype::U8:
    case StDtype::Bool:
      return integers_to_i32<uint8_t>(tensor);
    case StDtype::F64:
    case StDtype::F32:
    case StDtype::F16:
    case StDtype::BF16:
    case StDtype::F8_E4M3:
    case StDtype::F8_E8M0:
      break;
  }
  throw Error({.what = "a tensor has the wrong element type",
               .where = "tensor " + printable(tensor.name),
               .expected = "integers",
               .got = st_dtype_name(tensor.dtype)});
}

}  // namespace sw
