// SPDX-License-Identifier: MIT
#include "quant/type.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/letter_case.h"
#include "quant/all_types.h"
#include "quant/rows.h"

namespace sw {
namespace {

constexpr uint32_t kIds[] = {
#define SW_TYPE(name, id) id,
#include "quant/types.inc"
#undef SW_TYPE
};

template <class T>
constexpr TypeTraits make_traits(Type type, const char* name) {
  return {.type = type,
          .name = name,
          .block_elems = T::kBlockElems,
          .block_bytes = sizeof(typename T::Block),
          .row_header_bytes = kRowHeaderBytes<T>,
          .quantized = T::kBlockElems > 1,
          .decode = decode_row<T>,
          .decode_range = decode_range<T>,
          .encode = encode_row<T>,
          .encode_quickly = encode_row_quickly<T>};
}

/// One row per GGUF number; numbers that are not ours have no name.
constexpr auto kTraits = [] {
  std::array<TypeTraits, *std::max_element(std::begin(kIds), std::end(kIds)) + 1> table = {};
#define SW_TYPE(name, id) table[id] = make_traits<name>(Type::name, #name);
#include "quant/types.inc"
#undef SW_TYPE
  return table;
}();

}  // namespace

std::optional<Type> type_from_id(uint32_t gguf_id) {
  if (gguf_id >= kTraits.size() || !kTraits[gguf_id].name) return std::nullopt;
  return kTraits[gguf_id].type;
}

std::vector<std::string> type_names() {
  std::vector<std::string> names;
  for (const uint32_t id : kIds) names.emplace_back(kTraits[id].name);
  return names;
}

std::optional<Type> type_from_name(std::string_view name) {
  for (const uint32_t id : kIds) {
    if (equal_any_case(name, kTraits[id].name)) return kTraits[id].type;
  }
  return std::nullopt;
}

const TypeTraits& traits(Type type) {
  const auto id = static_cast<size_t>(type);
  SW_ASSERT(id < kTraits.size() && kTraits[id].name);
  return kTraits[id];
}

}  // namespace sw
