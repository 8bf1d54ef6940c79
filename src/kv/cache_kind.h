// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

namespace sw {

/// What a layer keeps of the tokens before.
enum class CacheKind : uint8_t {
  Pages,   ///< keys and values of every token
  Window,  ///< keys and values of the last tokens; pages that nobody sees any more are given back
  Latent,  ///< one latent and the rotated part of a key per token
  State    ///< a state of fixed size, which each token changes
};

}  // namespace sw
