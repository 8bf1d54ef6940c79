// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>

#include "base/error.h"

/// What a run may be asked for, in one place for the command line, the library and whatever else opens
/// models.
namespace sw::limits {

struct Limit {
  int64_t least = 0, most = 0;

  /// Throws sw::Error that names the option where `value` is outside.
  void check(const char* option, int64_t value) const {
    if (value >= least && value <= most) return;
    throw Error({.what = "option out of range",
                 .where = option,
                 .expected = std::to_string(least) + " to " + std::to_string(most),
                 .got = std::to_string(value)});
  }
};

inline constexpr Limit kContextTokens{0, int64_t{1} << 24};  ///< 0: what the model was trained for
inline constexpr Limit kParallel{1, 4096};                   ///< requests at one time
inline constexpr Limit kThreads{1, 1024};
inline constexpr Limit kUbatchTokens{1, 65536};
inline constexpr Limit kExpertsMax{0, 65536};                 ///< 0: the model's own and the default policy's
inline constexpr Limit kPredictTokens{-1, int64_t{1} << 30};  ///< -1: until the context is full
inline constexpr Limit kLayers{0, int64_t{1} << 20};
inline constexpr Limit kGpu{0, 1023};

}  // namespace sw::limits
