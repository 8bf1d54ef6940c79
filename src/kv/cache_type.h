// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "quant/type.h"

namespace sw {

/// The formats in which a cache can keep keys and values, the widest first. A token's row is written once and
/// read by every later token, so formats that take long to encode, or whose blocks are longer than the heads
/// of most models, are left out.
inline constexpr Type kCacheTypes[] = {Type::F32,  Type::F16,  Type::BF16,  Type::Q8_0,
                                       Type::Q5_1, Type::Q4_0, Type::IQ4_NL};

/// How a cache keeps keys, and how it keeps values. Latents are keys. What is read is always what was kept,
/// also for the token itself, so that a result does not depend on when a token was computed.
struct CacheType {
  Type k = Type::F16, v = Type::F16;

  constexpr CacheType() = default;
  /// Keys and values alike.
  constexpr CacheType(Type both) : k(both), v(both) {}  // NOLINT: implicit, one type means both
  constexpr CacheType(Type keys, Type values) : k(keys), v(values) {}

  bool same() const { return k == v; }
  friend bool operator==(const CacheType&, const CacheType&) = default;
};

/// Whether rows of `n_elems` can be kept in `type`.
bool can_cache(Type type, int64_t n_elems);
/// "f32, f16, bf16": those of kCacheTypes that can, as users write them.
std::string types_that_cache(int64_t n_elems);
/// "q8_0"
std::string cache_type_name(Type type);

}  // namespace sw
